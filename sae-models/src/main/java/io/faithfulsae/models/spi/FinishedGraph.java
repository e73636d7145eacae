package io.faithfulsae.models.spi;

import ai.onnx.proto.OnnxMl.GraphProto;
import ai.onnx.proto.OnnxMl.ModelProto;
import ai.onnx.proto.OnnxMl.NodeProto;
import ai.onnx.proto.OnnxMl.OperatorSetIdProto;
import io.faithfulsae.models.spi.Graph.Value;
import io.faithfulsae.models.spi.internal.Pruning;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Makes an ONNX model of a graph whose nodes are complete. */
final class FinishedGraph {
  private static final int OPSET = 23;
  private static final int IR_VERSION = 11;

  private FinishedGraph() {}

  /**
   * The model as bytes, without unused nodes, weights and inputs.
   *
   * @param converted weights converted to the graph's precision
   * @param outputNames by value, the names of the outputs that are computed by a node
   */
  static byte[] toBytes(GraphProto built, Set<Value> converted, Map<String, String> outputNames) {
    GraphProto named =
        built.toBuilder()
            .clearNode()
            .addAllNode(
                ordered(built.getNodeList(), converted).stream()
                    .map(node -> renamed(node, outputNames))
                    .toList())
            .build();
    return ModelProto.newBuilder()
        .setIrVersion(IR_VERSION)
        .setProducerName("faithfulsae")
        .addOpsetImport(OperatorSetIdProto.newBuilder().setDomain("").setVersion(OPSET))
        .addOpsetImport(OperatorSetIdProto.newBuilder().setDomain(Graph.OWN_DOMAIN).setVersion(1))
        .setGraph(Pruning.prune(named))
        .build()
        .toByteArray();
  }

  /**
   * Puts conversions of weights first and keeps the order of everything else: ONNX Runtime orders
   * nodes from the outputs backwards, visiting the inputs that come last in the graph first. Each
   * weight is thus converted just before its product, rather than all of them before the first one.
   */
  private static List<NodeProto> ordered(List<NodeProto> nodes, Set<Value> converted) {
    return nodes.stream()
        .sorted(Comparator.comparing(node -> !converted.contains(new Value(node.getOutput(0)))))
        .toList();
  }

  /** Values that are outputs use the output's name, which saves a copy. */
  private static NodeProto renamed(NodeProto node, Map<String, String> outputNames) {
    NodeProto.Builder renamed = node.toBuilder();
    for (int i = 0; i < node.getInputCount(); i++) {
      renamed.setInput(i, outputNames.getOrDefault(node.getInput(i), node.getInput(i)));
    }
    for (int i = 0; i < node.getOutputCount(); i++) {
      renamed.setOutput(i, outputNames.getOrDefault(node.getOutput(i), node.getOutput(i)));
    }
    return renamed.build();
  }
}
