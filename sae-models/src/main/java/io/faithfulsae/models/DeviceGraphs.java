package io.faithfulsae.models;

import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.Architecture.Attention;
import io.faithfulsae.models.spi.Architecture.Dimensions;
import io.faithfulsae.models.spi.Architecture.Scores;
import io.faithfulsae.models.spi.Graph;
import io.faithfulsae.models.spi.Graph.Attribute;
import io.faithfulsae.models.spi.Graph.Precision;
import io.faithfulsae.models.spi.Graph.Value;
import io.faithfulsae.models.spi.Weights;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * Graphs for a runtime that computes in device memory. Attention is ONNX Runtime's
 * GroupQueryAttention, which updates the KV cache in place; no node computes shapes, since those
 * would run on the host.
 */
final class DeviceGraphs {
  /** {@code [batch, length, heads * headWidth]}, as three int64. */
  static final String QUERY_SHAPE = "shape.query";

  /** {@code [batch, length, keyValueHeads * headWidth]}, as three int64. */
  static final String KEY_SHAPE = "shape.key";

  /** For each sequence: the tokens that precede its last one; int32. */
  static final String SEEN = "seen";

  /** Length of the longest sequence; one int32. */
  static final String LONGEST = "longest";

  static final String NORMS = "norms";
  static final String DATA = "data";
  static final String INDICES = "indices";
  static final String UNIFORM = "uniform";
  static final String NEXT = "next";

  private DeviceGraphs() {}

  static String grown(String what, int layer) {
    return what + ".grown." + layer;
  }

  /**
   * Head width rounded up to a multiple of 8, as the operator requires, and padded with zeros,
   * which do not change the result. The models of the study need no padding.
   */
  static long headWidth(Dimensions dims) {
    return (dims.headDim() + 7L) / 8 * 8;
  }

  private static Value widened(Graph graph, Dimensions dims, Value x, int heads) {
    long missing = headWidth(dims) - dims.headDim();
    if (missing == 0) {
      return x;
    }
    // Done as a product with ones on the diagonal, which is exact: Pad has no CUDA kernel in this
    // opset.
    long wider = headWidth(dims);
    float[] diagonal = new float[Math.toIntExact(dims.headDim() * wider)];
    for (int i = 0; i < dims.headDim(); i++) {
      diagonal[Math.toIntExact(i * wider + i)] = 1;
    }
    Value ones =
        graph.once(
            "widened", () -> graph.computed(graph.constant(diagonal, dims.headDim(), wider)));
    Value wide = graph.node("MatMul", List.of(graph.reshape(x, -1, heads, dims.headDim()), ones));
    return graph.reshape(wide, -1, heads * headWidth(dims));
  }

  private static Value narrowed(Graph graph, Dimensions dims, Value x) {
    if (headWidth(dims) == dims.headDim()) {
      return graph.reshape(x, -1, dims.queryWidth());
    }
    Value narrow =
        graph.node(
            "Slice",
            List.of(
                graph.reshape(x, -1, dims.heads(), headWidth(dims)),
                graph.integers(0),
                graph.integers(dims.headDim()),
                graph.integers(2)));
    return graph.reshape(narrow, -1, dims.queryWidth());
  }

  /** Attention over whole sequences, without a cache. */
  static Attention causal(Graph graph, Dimensions dims) {
    Value queryShape = graph.longInput(QUERY_SHAPE, 3);
    Value keyShape = graph.longInput(KEY_SHAPE, 3);
    Value seen = graph.intInput(SEEN, "sequences");
    Value longest = graph.intInput(LONGEST, 1);
    return (layer, query, key, value, scores) -> {
      Value attended =
          grouped(
                  graph,
                  dims,
                  scores,
                  List.of(
                      graph.node(
                          "Reshape",
                          List.of(widened(graph, dims, query, dims.heads()), queryShape)),
                      graph.node(
                          "Reshape",
                          List.of(widened(graph, dims, key, dims.keyValueHeads()), keyShape)),
                      graph.node(
                          "Reshape",
                          List.of(widened(graph, dims, value, dims.keyValueHeads()), keyShape)),
                      Graph.NOTHING,
                      Graph.NOTHING,
                      seen,
                      longest))
              .get(0);
      return narrowed(graph, dims, attended);
    };
  }

  private static List<Value> grouped(
      Graph graph, Dimensions dims, Scores scores, List<Value> inputs) {
    return graph.ownNodes(
        "GroupQueryAttention",
        3,
        inputs,
        Attribute.of("num_heads", dims.heads()),
        Attribute.of("kv_num_heads", dims.keyValueHeads()),
        Attribute.of("scale", scores.scale()),
        Attribute.of("softcap", scores.softcap()),
        Attribute.of("local_window_size", scores.window() == 0 ? -1L : scores.window()));
  }

  /** Adds the Euclidean norm of each row of activations as an output. */
  static void norms(Graph graph, Value activations) {
    Value norms =
        graph.node(
            "ReduceL2",
            List.of(graph.single(activations), graph.integers(1)),
            Attribute.of("keepdims", 0));
    graph.singleOutput(NORMS, norms, "rows");
  }

  /** Selects rows of a block of activations, in a given order. */
  static byte[] gather(Weights weights, int width) {
    Graph graph = new Graph(weights);
    Value data = graph.singleInput(DATA, "rows", width);
    Value indices = graph.longInput(INDICES, "kept");
    graph.singleOutput(
        Graphs.ACTIVATIONS, graph.node("Gather", List.of(data, indices)), "kept", width);
    return graph.toBytes();
  }

  /**
   * One token per row, from the caches {@code [rows, keyValueHeads, capacity, headWidth]} to the
   * next token. Cache inputs and outputs share memory. {@link #UNIFORM} is one float64 in [0, 1)
   * per row.
   *
   * @param topP as in {@code generate.GenerationConfig}
   */
  static byte[] step(
      Architecture model,
      Weights weights,
      Precision precision,
      double topP,
      Interventions interventions)
      throws IOException {
    Graph graph = new Graph(weights, precision);
    Dimensions dims = model.dimensions();
    interventions.declare(graph);
    Value tokens = graph.longInput(Graphs.TOKENS, "rows");
    Value positions = graph.longInput(Graphs.POSITIONS, "rows");
    Value seen = graph.intInput(SEEN, "rows");
    Value longest = graph.intInput(LONGEST, 1);
    int kv = dims.keyValueHeads();
    long width = headWidth(dims);
    List<Value> keys = new ArrayList<>();
    List<Value> values = new ArrayList<>();
    for (int layer = 0; layer < dims.layers(); layer++) {
      Object[] shape = {"rows", kv, "capacity", width};
      keys.add(graph.computedInput(Graphs.cached("key", layer), shape));
      values.add(graph.computedInput(Graphs.cached("value", layer), shape));
    }
    Attention attention =
        (layer, query, key, value, scores) -> {
          List<Value> out =
              grouped(
                  graph,
                  dims,
                  scores,
                  List.of(
                      graph.reshape(
                          widened(graph, dims, query, dims.heads()), -1, 1, dims.heads() * width),
                      graph.reshape(widened(graph, dims, key, kv), -1, 1, kv * width),
                      graph.reshape(widened(graph, dims, value, kv), -1, 1, kv * width),
                      keys.get(layer),
                      values.get(layer),
                      seen,
                      longest));
          Object[] shape = {"rows", kv, "capacity", width};
          graph.computedOutput(grown("key", layer), out.get(1), shape);
          graph.computedOutput(grown("value", layer), out.get(2), shape);
          return narrowed(graph, dims, out.get(0));
        };
    Value x = Graphs.blocks(graph, model, dims.layers(), tokens, positions, attention);
    Value logits = graph.single(model.unembed(graph, x));
    graph.singleOutput(Graphs.LOGITS, logits, "rows", dims.vocabularySize());
    Value cooled = graph.scale(logits, graph.singleInput(Graphs.INVERSE_TEMPERATURE, 1));
    Value probabilities = graph.node("Softmax", List.of(cooled), Attribute.of("axis", -1));
    graph.singleOutput(Graphs.PROBABILITIES, probabilities, "rows", dims.vocabularySize());
    Value uniform = graph.doubleInput(UNIFORM, "rows");
    graph.longOutput(
        NEXT,
        SamplingGraph.draw(graph, probabilities, dims.vocabularySize(), topP, uniform),
        "rows");
    return graph.toBytes();
  }
}
