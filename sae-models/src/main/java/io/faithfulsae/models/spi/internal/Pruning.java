package io.faithfulsae.models.spi.internal;

import ai.onnx.proto.OnnxMl.AttributeProto;
import ai.onnx.proto.OnnxMl.GraphProto;
import ai.onnx.proto.OnnxMl.NodeProto;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/** Removes what the outputs of a graph do not need. */
public final class Pruning {
  private Pruning() {}

  /** The graph without unneeded nodes, weights and inputs, in the same order. */
  public static GraphProto prune(GraphProto graph) {
    Map<String, NodeProto> makers = new HashMap<>();
    graph.getNodeList().forEach(node -> node.getOutputList().forEach(o -> makers.put(o, node)));
    Set<String> needed = new HashSet<>();
    Set<NodeProto> kept = java.util.Collections.newSetFromMap(new java.util.IdentityHashMap<>());
    Deque<String> open = new ArrayDeque<>();
    graph.getOutputList().forEach(output -> open.add(output.getName()));
    while (!open.isEmpty()) {
      String value = open.remove();
      NodeProto maker = makers.get(value);
      if (needed.add(value) && maker != null && kept.add(maker)) {
        uses(maker, open);
      }
    }
    GraphProto.Builder pruned = graph.toBuilder();
    pruned.clearNode().clearInput().clearInitializer().clearSparseInitializer();
    graph.getNodeList().stream().filter(kept::contains).forEach(pruned::addNode);
    graph.getInputList().stream()
        .filter(input -> needed.contains(input.getName()))
        .forEach(pruned::addInput);
    graph.getInitializerList().stream()
        .filter(weight -> needed.contains(weight.getName()))
        .forEach(pruned::addInitializer);
    graph.getSparseInitializerList().stream()
        .filter(weight -> needed.contains(weight.getValues().getName()))
        .forEach(pruned::addSparseInitializer);
    return pruned.build();
  }

  /** What a node reads, including what its subgraphs (of an If or a Loop) read from outside. */
  private static void uses(NodeProto node, Deque<String> into) {
    into.addAll(node.getInputList());
    for (AttributeProto attribute : node.getAttributeList()) {
      if (attribute.hasG()) {
        usesOf(attribute.getG(), into);
      }
      attribute.getGraphsList().forEach(graph -> usesOf(graph, into));
    }
  }

  /** Names that a subgraph defines itself do no harm: names are unique across both graphs. */
  private static void usesOf(GraphProto graph, Deque<String> into) {
    graph.getNodeList().forEach(node -> uses(node, into));
    graph.getOutputList().forEach(output -> into.add(output.getName()));
  }
}
