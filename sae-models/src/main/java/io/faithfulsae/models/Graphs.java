package io.faithfulsae.models;

import io.faithfulsae.HookPoint;
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
import java.util.Collection;
import java.util.List;

/**
 * The graphs that run a model: over whole sequences, from tokens or from hook points to a hook
 * point or to logits; and one decoding step.
 */
final class Graphs {
  static final String TOKENS = "tokens";
  static final String POSITIONS = "positions";
  static final String LENGTH = "length";
  static final String ACTIVATIONS = "activations";
  static final String LOGITS = "logits";
  static final String PROBABILITIES = "probabilities";
  static final String INVERSE_TEMPERATURE = "inverse_temperature";

  private Graphs() {}

  /**
   * How a graph computes.
   *
   * @param ownOperators whether ONNX Runtime's own operators may be used
   * @param norms whether to also output the norms of the activations
   */
  record Kind(Precision precision, boolean ownOperators, boolean norms) {
    Kind withNorms() {
      return new Kind(precision, ownOperators, true);
    }
  }

  static String cached(String what, int layer) {
    return what + ".cached." + layer;
  }

  static String fresh(String what, int layer) {
    return what + ".fresh." + layer;
  }

  /** The output at the hook point of this number. */
  static String activations(int number) {
    return number == 0 ? ACTIVATIONS : ACTIVATIONS + number;
  }

  /**
   * From tokens to the activations at hook points, with only the nodes that this needs; norms are
   * those at the first.
   */
  static byte[] tap(
      Architecture model,
      Weights weights,
      List<HookPoint> hooks,
      Interventions interventions,
      Kind kind)
      throws IOException {
    Graph graph = new Graph(weights, kind.precision());
    interventions.declare(graph);
    int last = hooks.stream().mapToInt(HookPoint::layer).max().orElseThrow();
    wholeSequences(graph, model, last + 1, kind);
    for (int i = 0; i < hooks.size(); i++) {
      HookPoint hook = hooks.get(i);
      graph.output(activations(i), graph.at(hook), "rows", model.width(hook.site()));
    }
    if (kind.norms()) {
      DeviceGraphs.norms(graph, graph.at(hooks.get(0)));
    }
    return graph.toBytes();
  }

  /**
   * To logits, with the activations at some hook points as inputs under the hooks' names. Tokens
   * are an input only if the logits also depend on them in some other way.
   */
  static byte[] logits(
      Architecture model,
      Weights weights,
      Collection<HookPoint> replaced,
      Interventions interventions,
      Kind kind)
      throws IOException {
    Graph graph = new Graph(weights, kind.precision());
    interventions.declare(graph);
    for (HookPoint hook : replaced) {
      graph.replace(hook, graph.floatInput(hook.toString(), "rows", model.width(hook.site())));
    }
    Value last = wholeSequences(graph, model, model.dimensions().layers(), kind);
    graph.output(LOGITS, model.unembed(graph, last), "rows", model.dimensions().vocabularySize());
    return graph.toBytes();
  }

  private static Value wholeSequences(Graph graph, Architecture model, int layers, Kind kind)
      throws IOException {
    Value tokens = graph.longInput(TOKENS, "rows");
    Value positions = graph.longInput(POSITIONS, "rows");
    Attention attention =
        kind.ownOperators()
            ? DeviceGraphs.causal(graph, model.dimensions())
            : causal(graph, model.dimensions(), graph.longInput(LENGTH, 1));
    return blocks(graph, model, layers, tokens, positions, attention);
  }

  static Value blocks(
      Graph graph,
      Architecture model,
      int layers,
      Value tokens,
      Value positions,
      Attention attention)
      throws IOException {
    Value x = model.embed(graph, tokens, positions);
    for (int layer = 0; layer < layers; layer++) {
      x = graph.site(layer, Graph.RESID_PRE, x);
      x = model.block(graph, layer, x, positions, attention);
      x = graph.site(layer, Graph.RESID_POST, x);
    }
    return x;
  }

  /**
   * One token per row, each at its own position. The keys and values of the previous tokens are
   * inputs, {@code [rows, keyValueHeads, headDim, capacity]} and {@code [rows, keyValueHeads,
   * capacity, headDim]}, each in the layout that its product needs; a row attends to the slots
   * before its position. The new token's key and value are outputs, which the caller writes to
   * their slot: the cache itself is never copied.
   */
  static byte[] step(
      Architecture model, Weights weights, Precision precision, Interventions interventions)
      throws IOException {
    Graph graph = new Graph(weights, precision);
    Dimensions dims = model.dimensions();
    interventions.declare(graph);
    Value tokens = graph.longInput(TOKENS, "rows");
    Value positions = graph.longInput(POSITIONS, "rows");
    Value inverseTemperature = graph.singleInput(INVERSE_TEMPERATURE, 1);
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
    Value capacity = graph.node("Shape", List.of(keys.get(0)), Attribute.of("start", 3));
    Attention attention =
        (layer, query, key, value, scores) ->
            attendToCache(
                graph,
                dims,
                new Heads(query, key, value),
                scores,
                new Cached(
                    layer,
                    keys.get(layer),
                    values.get(layer),
                    seen(graph, scores.window(), positions, capacity)));
    Value x = blocks(graph, model, dims.layers(), tokens, positions, attention);
    Value logits = model.unembed(graph, x);
    graph.output(LOGITS, logits, "rows", dims.vocabularySize());
    Value cooled = graph.scale(graph.single(logits), inverseTemperature);
    graph.singleOutput(
        PROBABILITIES,
        graph.node("Softmax", List.of(cooled), Attribute.of("axis", -1)),
        "rows",
        dims.vocabularySize());
    return graph.toBytes();
  }

  /** Query, key and value of the same tokens. */
  private record Heads(Value query, Value key, Value value) {}

  /**
   * A layer's keys and values of earlier tokens.
   *
   * @param mask what is added to the scores of the slots
   */
  private record Cached(int layer, Value keys, Value values, Value mask) {}

  private static Value attendToCache(
      Graph graph, Dimensions dims, Heads token, Scores scores, Cached cached) {
    long kv = dims.keyValueHeads();
    long headDim = dims.headDim();
    Value q =
        graph.scale(
            graph.reshape(token.query(), -1, kv, dims.heads() / kv, headDim),
            graph.constant(scores.scale()));
    Value k = graph.reshape(token.key(), -1, kv, 1, headDim);
    Value v = graph.reshape(token.value(), -1, kv, 1, headDim);
    graph.output(fresh("key", cached.layer()), k, "rows", kv, 1, headDim);
    graph.output(fresh("value", cached.layer()), v, "rows", kv, 1, headDim);
    Value before =
        graph.add(
            graph.softcap(graph.node("MatMul", List.of(q, cached.keys())), scores.softcap()),
            cached.mask());
    Value self =
        graph.softcap(
            graph.node("ReduceSum", List.of(graph.scale(q, k), graph.integers(-1))),
            scores.softcap());
    Value all = graph.node("Concat", List.of(before, self), Attribute.of("axis", -1));
    Value weights = graph.node("Softmax", List.of(all), Attribute.of("axis", -1));
    Value last = graph.integers(-1);
    Value weightsBefore = graph.node("Slice", List.of(weights, graph.integers(0), last, last));
    Value weightSelf =
        graph.node("Slice", List.of(weights, last, graph.integers(Long.MAX_VALUE), last));
    Value mixed =
        graph.add(
            graph.node("MatMul", List.of(weightsBefore, cached.values())),
            graph.scale(weightSelf, v));
    return graph.reshape(mixed, -1, dims.queryWidth());
  }

  /**
   * {@code [rows, 1, 1, capacity]}: 0 where a row attends to a slot, else minus infinity. Slots
   * start at position 0; those from the row's own position on are empty or left over from another
   * sequence.
   */
  private static Value seen(Graph graph, int window, Value positions, Value capacity) {
    return graph.once(
        "seen." + window,
        () -> {
          Value distance =
              graph.node(
                  "Sub", List.of(graph.reshape(positions, -1, 1, 1, 1), range(graph, capacity)));
          Value hidden = graph.node("LessOrEqual", List.of(distance, graph.integers(0)));
          if (window > 0) {
            Value past = graph.node("GreaterOrEqual", List.of(distance, graph.integers(window)));
            hidden = graph.node("Or", List.of(hidden, past));
          }
          return hide(graph, hidden);
        });
  }

  /** 0 to {@code count - 1}, from a count of shape {@code [1]}. */
  private static Value range(Graph graph, Value count) {
    Value zero = graph.node("Squeeze", List.of(graph.integers(0)));
    Value one = graph.node("Squeeze", List.of(graph.integers(1)));
    return graph.node("Range", List.of(zero, graph.node("Squeeze", List.of(count)), one));
  }

  private static Value hide(Graph graph, Value where) {
    return graph.node(
        "Where", List.of(where, graph.constant(Float.NEGATIVE_INFINITY), graph.constant(0f)));
  }

  private static Attention causal(Graph graph, Dimensions dims, Value length) {
    return (layer, query, key, value, scores) -> {
      Value q = sequences(graph, query, length, dims.queryWidth());
      Value k = sequences(graph, key, length, dims.keyValueWidth());
      Value v = sequences(graph, value, length, dims.keyValueWidth());
      Value attended =
          scores.window() == 0 && scores.softcap() == 0
              ? graph.node(
                  "Attention",
                  List.of(q, k, v),
                  Attribute.of("is_causal", 1),
                  Attribute.of("q_num_heads", dims.heads()),
                  Attribute.of("kv_num_heads", dims.keyValueHeads()),
                  Attribute.of("scale", scores.scale()))
              : attend(graph, dims, new Heads(q, k, v), length, scores);
      return graph.reshape(attended, -1, dims.queryWidth());
    };
  }

  /**
   * Attention from basic operators, for sliding windows and soft-capped scores: ONNX versions
   * differ in whether the Attention operator applies the cap or the mask first.
   *
   * @param tokens the query {@code [sequences, length, heads * headDim]}; key and value likewise
   */
  private static Value attend(
      Graph graph, Dimensions dims, Heads tokens, Value length, Scores scores) {
    long kv = dims.keyValueHeads();
    long group = dims.heads() / kv;
    long headDim = dims.headDim();
    Value queries =
        graph.transpose(graph.reshape(tokens.query(), 0, 0, kv, group, headDim), 0, 2, 3, 1, 4);
    Value keys = graph.transpose(graph.reshape(tokens.key(), 0, 0, kv, 1, headDim), 0, 2, 3, 4, 1);
    Value values =
        graph.transpose(graph.reshape(tokens.value(), 0, 0, kv, 1, headDim), 0, 2, 3, 1, 4);
    Value products =
        graph.node("MatMul", List.of(graph.scale(queries, graph.constant(scores.scale())), keys));
    Value masked =
        graph.add(
            graph.softcap(products, scores.softcap()), causalMask(graph, length, scores.window()));
    Value weights = graph.node("Softmax", List.of(masked), Attribute.of("axis", -1));
    return graph.transpose(graph.node("MatMul", List.of(weights, values)), 0, 3, 1, 2, 4);
  }

  /** {@code [length, length]}: 0 where row i attends to column j, else minus infinity. */
  private static Value causalMask(Graph graph, Value length, int window) {
    return graph.once(
        "causal." + window,
        () -> {
          Value places = range(graph, length);
          Value distance =
              graph.node(
                  "Sub", List.of(graph.reshape(places, -1, 1), graph.reshape(places, 1, -1)));
          Value hidden = graph.node("Less", List.of(distance, graph.integers(0)));
          if (window > 0) {
            Value past = graph.node("GreaterOrEqual", List.of(distance, graph.integers(window)));
            hidden = graph.node("Or", List.of(hidden, past));
          }
          return hide(graph, hidden);
        });
  }

  /** Reshapes {@code [rows, width]} to {@code [sequences, length, width]}. */
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
