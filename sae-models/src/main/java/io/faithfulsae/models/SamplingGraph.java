package io.faithfulsae.models;

import io.faithfulsae.models.spi.Graph;
import io.faithfulsae.models.spi.Graph.Attribute;
import io.faithfulsae.models.spi.Graph.Value;
import java.util.List;

/**
 * {@code generate.Sampler} as graph nodes: a token is drawn by inverting the cumulative
 * probabilities; with top-p, those of the likeliest tokens, ties going to the lower id. Sums are
 * float64, so that the same number draws the same token here and on the host.
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
                  // The last token with nonzero probability: the sums do not grow after it.
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
    // A token is kept if the tokens before it do not reach the mass.
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

  /** For each row, the element at an index given as a float; {@code [rows, 1]}. */
  private static Value pick(Graph graph, Value from, Value place) {
    return graph.node(
        "GatherElements",
        List.of(from, graph.reshape(graph.castToLong(place), -1, 1)),
        Attribute.of("axis", 1));
  }

  /** The sum of each row's probabilities, which is not exactly 1; {@code [rows, 1]}. */
  private static Value total(Graph graph, Value sums) {
    return graph.node(
        "Slice",
        List.of(sums, graph.integers(-1), graph.integers(Long.MAX_VALUE), graph.integers(1)));
  }

  /** How many sums of each row are below a bound: the index of the first that is not. */
  private static Value below(Graph graph, Value sums, Value bound, boolean orEqual) {
    return count(graph, graph.node(orEqual ? "LessOrEqual" : "Less", List.of(sums, bound)));
  }

  /** The number of true elements in each row, as a float: exact up to 2^24. */
  private static Value count(Graph graph, Value where) {
    return graph.node(
        "ReduceSum", List.of(graph.cast(where), graph.integers(1)), Attribute.of("keepdims", 0));
  }

  /**
   * Running sums along the vocabulary, in two stages of about the square root of its size each,
   * since a device's kernel for running sums takes time quadratic in the length.
   *
   * @return {@code [rows, vocabulary rounded up]}; after the vocabulary, the total
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

  /** Pads with zeros to whole blocks. Pad and ReduceMax have no CUDA kernel in this opset. */
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
