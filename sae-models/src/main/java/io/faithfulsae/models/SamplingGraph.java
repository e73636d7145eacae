package io.faithfulsae.models;

import io.faithfulsae.models.spi.Graph;
import io.faithfulsae.models.spi.Graph.Attribute;
import io.faithfulsae.models.spi.Graph.Value;
import java.util.List;

/**
 * What {@code generate.Sampler} does, as nodes: a token is drawn by inverting the cumulated
 * probabilities, for top-p those of the likeliest tokens, of equally likely ones the lower first.
 * Sums are float64, so that the same number draws the same token there and here.
 */
final class SamplingGraph {
  private SamplingGraph() {}

  /**
   * Draws a token for each row.
   *
   * @param probabilities {@code [rows, vocabulary]} float32
   * @param uniform {@code [rows]} float64 in [0, 1)
   * @return {@code [rows]} int64
   */
  static Value draw(Graph graph, Value probabilities, int vocabulary, double topP, Value uniform) {
    Value u = graph.reshape(uniform, -1, 1);
    if (topP >= 1) {
      Value sums = cumulated(graph, graph.castToDouble(probabilities), vocabulary);
      Value index = graph.node("Min", List.of(below(graph, sums, u, true), last(graph, sums)));
      return graph.castToLong(index);
    }
    List<Value> sorted =
        graph.nodes(
            "TopK",
            2,
            List.of(probabilities, graph.integers(vocabulary)),
            Attribute.of("axis", 1),
            Attribute.of("sorted", 1));
    Value p = graph.castToDouble(sorted.get(0));
    Value sums = cumulated(graph, p, vocabulary);
    // A token is kept while those before it do not have the mass yet.
    Value before = graph.node("Sub", List.of(sums, padded(graph, p, vocabulary)));
    Value kept = graph.node("Less", List.of(before, graph.doubles(topP)));
    Value mass =
        graph.node(
            "ReduceMax",
            List.of(graph.node("Where", List.of(kept, sums, graph.doubles(0))), graph.integers(1)));
    Value target = graph.scale(u, mass);
    Value index =
        graph.castToLong(
            graph.node(
                "Min", List.of(below(graph, sums, target, true), below(graph, sums, mass, false))));
    Value token =
        graph.node(
            "GatherElements",
            List.of(sorted.get(1), graph.reshape(index, -1, 1)),
            Attribute.of("axis", 1));
    return graph.reshape(token, -1);
  }

  /** Place of the last token with a probability: the sums grow up to it, and no further. */
  private static Value last(Graph graph, Value sums) {
    Value total = graph.node("ReduceMax", List.of(sums, graph.integers(1)));
    return below(graph, sums, total, false);
  }

  /** How many sums of each row are below a bound: the place of the first that is not. */
  private static Value below(Graph graph, Value sums, Value bound, boolean orEqual) {
    Value under = graph.node(orEqual ? "LessOrEqual" : "Less", List.of(sums, bound));
    return graph.node(
        "ReduceSum", List.of(graph.cast(under), graph.integers(1)), Attribute.of("keepdims", 0));
  }

  /**
   * Running sums along the vocabulary, in two steps of about its root each, since a device's kernel
   * for running sums does work that grows with the square of the length.
   *
   * @return {@code [rows, vocabulary rounded up]}; behind the vocabulary the total
   */
  private static Value cumulated(Graph graph, Value p, int vocabulary) {
    long block = block(vocabulary);
    Value blocks = graph.reshape(padded(graph, p, vocabulary), 0, -1, block);
    Value within = graph.node("CumSum", List.of(blocks, graph.integers(2)));
    Value sums =
        graph.node("ReduceSum", List.of(blocks, graph.integers(2)), Attribute.of("keepdims", 0));
    Value before =
        graph.node("CumSum", List.of(sums, graph.integers(1)), Attribute.of("exclusive", 1));
    Value all = graph.add(within, graph.reshape(before, 0, -1, 1));
    return graph.reshape(all, 0, -1);
  }

  private static Value padded(Graph graph, Value p, int vocabulary) {
    long block = block(vocabulary);
    long missing = (vocabulary + block - 1) / block * block - vocabulary;
    return missing == 0 ? p : graph.node("Pad", List.of(p, graph.integers(0, 0, 0, missing)));
  }

  private static long block(int vocabulary) {
    return (long) Math.ceil(Math.sqrt(vocabulary));
  }
}
