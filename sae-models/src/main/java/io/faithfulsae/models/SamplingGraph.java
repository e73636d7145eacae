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
      Value total = total(graph, sums);
      Value index =
          graph.node(
              "Min",
              List.of(
                  below(graph, sums, graph.scale(u, total), true),
                  // The last token with a probability: the sums grow up to it, and no further.
                  below(graph, sums, total, false)));
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
    Value lastKept =
        graph.node(
            "Min",
            List.of(
                graph.node("Sub", List.of(count(graph, kept), graph.single(1))),
                graph.single(vocabulary - 1)));
    Value mass = pick(graph, sums, lastKept);
    Value index =
        graph.node("Min", List.of(below(graph, sums, graph.scale(u, mass), true), lastKept));
    return graph.reshape(pick(graph, sorted.get(1), index), -1);
  }

  /** Of each row the element at a place that is given as a float; {@code [rows, 1]}. */
  private static Value pick(Graph graph, Value from, Value place) {
    return graph.node(
        "GatherElements",
        List.of(from, graph.reshape(graph.castToLong(place), -1, 1)),
        Attribute.of("axis", 1));
  }

  /** What the probabilities of each row sum to, which is not quite 1; {@code [rows, 1]}. */
  private static Value total(Graph graph, Value sums) {
    return graph.node(
        "Slice",
        List.of(sums, graph.integers(-1), graph.integers(Long.MAX_VALUE), graph.integers(1)));
  }

  /** How many sums of each row are below a bound: the place of the first that is not. */
  private static Value below(Graph graph, Value sums, Value bound, boolean orEqual) {
    return count(graph, graph.node(orEqual ? "LessOrEqual" : "Less", List.of(sums, bound)));
  }

  /** How many of each row are true, as a float: exact up to 2^24. */
  private static Value count(Graph graph, Value where) {
    return graph.node(
        "ReduceSum", List.of(graph.cast(where), graph.integers(1)), Attribute.of("keepdims", 0));
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

  /**
   * With zeros behind it, for whole blocks. Pad and ReduceMax have no CUDA kernel in this opset.
   */
  private static Value padded(Graph graph, Value p, int vocabulary) {
    long block = block(vocabulary);
    long missing = (vocabulary + block - 1) / block * block - vocabulary;
    if (missing == 0) {
      return p;
    }
    Value some =
        graph.node(
            "Slice", List.of(p, graph.integers(0), graph.integers(missing), graph.integers(1)));
    return graph.node(
        "Concat", List.of(p, graph.scale(some, graph.doubles(0))), Attribute.of("axis", 1));
  }

  private static long block(int vocabulary) {
    return (long) Math.ceil(Math.sqrt(vocabulary));
  }
}
