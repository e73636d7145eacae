package io.faithfulsae.models;

import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.Architecture.Attention;
import io.faithfulsae.models.spi.Architecture.Dimensions;
import io.faithfulsae.models.spi.Graph;
import io.faithfulsae.models.spi.Graph.Attribute;
import io.faithfulsae.models.spi.Graph.Value;
import io.faithfulsae.models.spi.Weights;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * The graphs that a model is run by: a section of its blocks over whole sequences, or one step of
 * decoding.
 */
final class Graphs {
  static final String TOKENS = "tokens";
  static final String POSITIONS = "positions";
  static final String LENGTH = "length";
  static final String RESIDUAL = "residual";
  static final String RESIDUAL_OUT = "residual_out";
  static final String LOGITS = "logits";
  static final String PROBABILITIES = "probabilities";
  static final String INVERSE_TEMPERATURE = "inverse_temperature";
  static final String MASK = "mask";

  private Graphs() {}

  static String cached(String what, int layer) {
    return what + ".cached." + layer;
  }

  static String fresh(String what, int layer) {
    return what + ".fresh." + layer;
  }

  /** From tokens to the residual stream that enters block {@code end}. */
  static byte[] prefix(Architecture model, Weights weights, int end) throws IOException {
    Graph graph = new Graph(weights);
    Value tokens = graph.longInput(TOKENS, "rows");
    Value positions = graph.longInput(POSITIONS, "rows");
    Attention attention = causal(graph, model.dimensions(), graph.longInput(LENGTH, 1));
    Value x = model.embed(graph, tokens, positions);
    for (int layer = 0; layer < end; layer++) {
      x = model.block(graph, layer, x, positions, attention);
    }
    graph.output(RESIDUAL_OUT, x, "rows", model.dimensions().dModel());
    return graph.toBytes();
  }

  /** From the residual stream that enters block {@code first} to logits. */
  static byte[] suffix(Architecture model, Weights weights, int first) throws IOException {
    Graph graph = new Graph(weights);
    Value residual = graph.floatInput(RESIDUAL, "rows", model.dimensions().dModel());
    Value positions = graph.longInput(POSITIONS, "rows");
    Attention attention = causal(graph, model.dimensions(), graph.longInput(LENGTH, 1));
    return logits(graph, model, first, residual, positions, attention);
  }

  /** From tokens to logits. */
  static byte[] whole(Architecture model, Weights weights) throws IOException {
    Graph graph = new Graph(weights);
    Value tokens = graph.longInput(TOKENS, "rows");
    Value positions = graph.longInput(POSITIONS, "rows");
    Attention attention = causal(graph, model.dimensions(), graph.longInput(LENGTH, 1));
    return logits(graph, model, 0, model.embed(graph, tokens, positions), positions, attention);
  }

  private static byte[] logits(
      Graph graph,
      Architecture model,
      int first,
      Value residual,
      Value positions,
      Attention attention)
      throws IOException {
    Value x = residual;
    for (int layer = first; layer < model.dimensions().layers(); layer++) {
      x = model.block(graph, layer, x, positions, attention);
    }
    graph.output(LOGITS, model.unembed(graph, x), "rows", model.dimensions().vocabularySize());
    return graph.toBytes();
  }

  /**
   * One token a row. The keys and values of the tokens before it are inputs, {@code [rows,
   * keyValueHeads, headDim, capacity]} and {@code [rows, keyValueHeads, capacity, headDim]}, each
   * as its product wants it; a mask hides the slots that are not filled. The token's own key and
   * value come out, for the caller to put into its slot: the cache itself is never copied.
   */
  static byte[] step(Architecture model, Weights weights) throws IOException {
    Graph graph = new Graph(weights);
    Dimensions dims = model.dimensions();
    Value tokens = graph.longInput(TOKENS, "rows");
    Value positions = graph.longInput(POSITIONS, "rows");
    Value mask = graph.floatInput(MASK, 1, "capacity");
    Value inverseTemperature = graph.floatInput(INVERSE_TEMPERATURE, 1);
    List<Value> keys = new ArrayList<>();
    List<Value> values = new ArrayList<>();
    for (int layer = 0; layer < dims.layers(); layer++) {
      keys.add(
          graph.floatInput(
              cached("key", layer), "rows", dims.keyValueHeads(), dims.headDim(), "capacity"));
      values.add(
          graph.floatInput(
              cached("value", layer), "rows", dims.keyValueHeads(), "capacity", dims.headDim()));
    }
    Attention attention =
        (layer, query, key, value, scale) ->
            attendToCache(
                graph,
                dims,
                layer,
                query,
                key,
                value,
                scale,
                keys.get(layer),
                values.get(layer),
                mask);
    Value x = model.embed(graph, tokens, positions);
    for (int layer = 0; layer < dims.layers(); layer++) {
      x = model.block(graph, layer, x, positions, attention);
    }
    Value logits = model.unembed(graph, x);
    graph.output(LOGITS, logits, "rows", dims.vocabularySize());
    Value cooled = graph.scale(logits, inverseTemperature);
    graph.output(
        PROBABILITIES,
        graph.node("Softmax", List.of(cooled), Attribute.of("axis", -1)),
        "rows",
        dims.vocabularySize());
    return graph.toBytes();
  }

  private static Value attendToCache(
      Graph graph,
      Dimensions dims,
      int layer,
      Value query,
      Value key,
      Value value,
      float scale,
      Value keys,
      Value values,
      Value mask) {
    long kv = dims.keyValueHeads();
    long headDim = dims.headDim();
    Value q =
        graph.scale(
            graph.reshape(query, -1, kv, dims.heads() / kv, headDim), graph.constant(scale));
    Value k = graph.reshape(key, -1, kv, 1, headDim);
    Value v = graph.reshape(value, -1, kv, 1, headDim);
    graph.output(fresh("key", layer), k, "rows", kv, 1, headDim);
    graph.output(fresh("value", layer), v, "rows", kv, 1, headDim);
    Value before = graph.add(graph.node("MatMul", List.of(q, keys)), mask);
    Value self = graph.node("ReduceSum", List.of(graph.scale(q, k), graph.integers(-1)));
    Value scores = graph.node("Concat", List.of(before, self), Attribute.of("axis", -1));
    Value weights = graph.node("Softmax", List.of(scores), Attribute.of("axis", -1));
    Value last = graph.integers(-1);
    Value weightsBefore = graph.node("Slice", List.of(weights, graph.integers(0), last, last));
    Value weightSelf =
        graph.node("Slice", List.of(weights, last, graph.integers(Long.MAX_VALUE), last));
    Value mixed =
        graph.add(graph.node("MatMul", List.of(weightsBefore, values)), graph.scale(weightSelf, v));
    return graph.reshape(mixed, -1, dims.queryWidth());
  }

  private static Attention causal(Graph graph, Dimensions dims, Value length) {
    return (layer, query, key, value, scale) -> {
      Value attended =
          graph.node(
              "Attention",
              List.of(
                  sequences(graph, query, length, dims.queryWidth()),
                  sequences(graph, key, length, dims.keyValueWidth()),
                  sequences(graph, value, length, dims.keyValueWidth())),
              Attribute.of("is_causal", 1),
              Attribute.of("q_num_heads", dims.heads()),
              Attribute.of("kv_num_heads", dims.keyValueHeads()),
              Attribute.of("scale", scale));
      return graph.reshape(attended, -1, dims.queryWidth());
    };
  }

  /** {@code [rows, width]} as {@code [sequences, length, width]}. */
  private static Value sequences(Graph graph, Value rows, Value length, long width) {
    Value shape =
        graph.once(
            "sequences." + width,
            () ->
                graph.node(
                    "Concat",
                    List.of(graph.integers(-1), length, graph.integers(width)),
                    Attribute.of("axis", 0)));
    return graph.node("Reshape", List.of(rows, shape));
  }
}
