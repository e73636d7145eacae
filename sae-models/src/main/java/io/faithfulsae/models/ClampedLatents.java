package io.faithfulsae.models;

import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.models.Intervention.ClampLatent;
import io.faithfulsae.models.runtime.Tensor;
import io.faithfulsae.models.spi.Graph;
import io.faithfulsae.models.spi.Graph.Attribute;
import io.faithfulsae.models.spi.Graph.Value;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.Selection.Rule;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Latents of one SAE that are clamped at one hook point. A graph computes their values z as {@link
 * Sae#encode(io.faithfulsae.ActivationBatch)} does, and returns {@code (targets - z) W_dec}.
 *
 * <p>Where a latent's value depends on its own encoder direction alone (ReLU, JumpReLU, gated), the
 * graph gets the directions of the clamped latents only; where latents compete, all of them.
 */
final class ClampedLatents {
  /** Keeps a row of equal elements from being divided by 0, as the SAE does. */
  private static final float STANDARDIZE_EPSILON = 1e-5f;

  private final String prefix;
  private final SaeConfig config;
  private final Selection selection;
  private final List<Input> inputs = new ArrayList<>();

  /** The inputs of a graph. */
  interface Inputs {
    /** Binds one, if the graph has it. */
    void bind(String name, Tensor value);
  }

  private record Input(String name, Tensor value) {}

  private ClampedLatents(String prefix, Sae sae) {
    this.prefix = prefix;
    this.config = sae.config();
    this.selection = config.activation().selection();
  }

  /**
   * Reads what is needed of an SAE.
   *
   * @param prefix of the inputs' names
   */
  static ClampedLatents of(String prefix, Sae sae, List<ClampLatent> clamps) {
    int[] latents = clamps.stream().mapToInt(ClampLatent::latent).toArray();
    requireDistinct(latents);
    ClampedLatents clamped = new ClampedLatents(prefix, sae);
    clamped.read(sae, latents);
    FloatBuffer targets = FloatRows.allocate(latents.length);
    clamps.forEach(clamp -> targets.put((float) clamp.value()));
    clamped.input("targets", targets.flip(), 1, latents.length);
    return clamped;
  }

  private static void requireDistinct(int[] latents) {
    List<Integer> seen = new ArrayList<>();
    for (int latent : latents) {
      if (seen.contains(latent)) {
        throw new IllegalArgumentException(
            Expected.message("one value for each latent", "two for " + latent, "remove one"));
      }
      seen.add(latent);
    }
  }

  private void read(Sae sae, int[] chosen) {
    int d = config.dIn();
    FloatBuffer decoder = FloatRows.allocate(chosen.length, d);
    for (int latent : chosen) {
      decoder.put(sae.decoderDirection(latent));
    }
    input("w_dec", decoder.flip(), chosen.length, d);
    FloatBuffer center = FloatRows.allocate(d);
    if (config.subtractDecoderBias()) {
      sae.parameters().read(BackendSae.Tensor.B_DEC, 0, center);
    }
    input("center", center, 1, d);
    if (selection.rule() == Rule.THRESHOLD) {
      readThresholds(sae, chosen);
    } else {
      readCompeting(sae, chosen);
    }
  }

  private void readThresholds(Sae sae, int[] chosen) {
    int d = config.dIn();
    int n = chosen.length;
    FloatBuffer encoder = FloatRows.allocate(n, d);
    for (int latent : chosen) {
      encoder.put(sae.encoderDirection(latent));
    }
    input("w_enc", encoder.flip(), n, d);
    FloatBuffer bias = chosen(sae, BackendSae.Tensor.B_ENC, chosen);
    input("b_enc", bias, 1, n);
    FloatBuffer zero = FloatRows.allocate(n);
    boolean gated = has(sae, BackendSae.Tensor.R_MAG);
    boolean jumps = has(sae, BackendSae.Tensor.THRESHOLD);
    input("threshold", jumps ? chosen(sae, BackendSae.Tensor.THRESHOLD, chosen) : zero, 1, n);
    // The value of a gated latent has a gain and a bias of its own.
    FloatBuffer gain = FloatRows.allocate(n);
    FloatBuffer logGain = gated ? chosen(sae, BackendSae.Tensor.R_MAG, chosen) : zero;
    for (int i = 0; i < n; i++) {
      gain.put(i, (float) Math.exp(logGain.get(i)));
    }
    input("gain", gain, 1, n);
    input("offset", gated ? chosen(sae, BackendSae.Tensor.B_MAG, chosen) : bias, 1, n);
  }

  private void readCompeting(Sae sae, int[] chosen) {
    FloatBuffer encoder = FloatRows.allocate(config.dSae(), config.dIn());
    sae.readEncoder(0, encoder);
    input("w_enc", encoder, config.dSae(), config.dIn());
    input("b_enc", all(sae, BackendSae.Tensor.B_ENC), 1, config.dSae());
    LongBuffer latents = DirectBuffers.longs(chosen.length);
    LongBuffer groups = DirectBuffers.longs(chosen.length);
    LongBuffer places = DirectBuffers.longs(chosen.length);
    int size = config.dSae() / selection.k();
    for (int i = 0; i < chosen.length; i++) {
      latents.put(i, chosen[i]);
      groups.put(i, chosen[i] / size);
      places.put(i, chosen[i] % size);
    }
    inputs.add(new Input(prefix + "latents", Tensor.of(latents, chosen.length)));
    if (selection.rule() == Rule.GROUP_MAX) {
      inputs.add(new Input(prefix + "groups", Tensor.of(groups, chosen.length)));
      inputs.add(new Input(prefix + "places", Tensor.of(places, chosen.length)));
    }
  }

  private static boolean has(Sae sae, BackendSae.Tensor tensor) {
    return sae.parameters().shape().has(tensor);
  }

  private static FloatBuffer all(Sae sae, BackendSae.Tensor tensor) {
    FloatBuffer values = FloatRows.allocate(sae.config().dSae());
    sae.parameters().read(tensor, 0, values);
    return values;
  }

  private static FloatBuffer chosen(Sae sae, BackendSae.Tensor tensor, int[] latents) {
    FloatBuffer all = all(sae, tensor);
    FloatBuffer values = FloatRows.allocate(latents.length);
    for (int latent : latents) {
      values.put(all.get(latent));
    }
    return values.flip();
  }

  private void input(String name, FloatBuffer values, long... shape) {
    inputs.add(new Input(prefix + name, Tensor.of(values, shape)));
  }

  /** What the graph's nodes depend on. */
  String kind() {
    int k = selection.rule() == Rule.THRESHOLD ? 0 : selection.k();
    return selection.rule() + " " + k + " " + config.normalization();
  }

  void bindTo(Inputs to) {
    inputs.forEach(input -> to.bind(input.name(), input.value()));
  }

  /**
   * The change of the activations.
   *
   * @param x {@code [rows, d]} in float32
   */
  Value change(Graph graph, Value x) {
    Normalized normalized = normalize(graph, x);
    Value centered = sub(graph, normalized.rows(), single(graph, "center", 1, config.dIn()));
    boolean competing = selection.rule() != Rule.THRESHOLD;
    String encoded = prefix + (competing ? "encoded" : "clamped");
    Value product = graph.multiply(centered, single(graph, "w_enc", encoded, config.dIn()), true);
    Value pre = graph.add(product, single(graph, "b_enc", 1, encoded));
    Value z = competing ? competing(graph, pre) : thresholded(graph, product, pre);
    Value change =
        graph.node(
            "MatMul",
            List.of(
                sub(graph, single(graph, "targets", 1, clamped()), z),
                single(graph, "w_dec", clamped(), config.dIn())));
    return config.normalization() == Normalization.NONE
        ? change
        : graph.scale(change, normalized.scale());
  }

  private String clamped() {
    return prefix + "clamped";
  }

  private Value single(Graph graph, String name, Object... shape) {
    return graph.singleInput(prefix + name, shape);
  }

  private static Value sub(Graph graph, Value a, Value b) {
    return graph.node("Sub", List.of(a, b));
  }

  private Value thresholded(Graph graph, Value product, Value pre) {
    Value open = graph.node("Greater", List.of(pre, single(graph, "threshold", 1, clamped())));
    Value value =
        graph.add(
            graph.scale(product, single(graph, "gain", 1, clamped())),
            single(graph, "offset", 1, clamped()));
    return graph.scale(graph.node("Relu", List.of(value)), graph.cast(open));
  }

  private Value competing(Graph graph, Value pre) {
    boolean signed = selection.rule() == Rule.ABS_TOP_K;
    Value values = signed ? pre : graph.node("Relu", List.of(pre));
    Value sizes = signed ? graph.node("Abs", List.of(pre)) : values;
    Value latentNumbers = graph.longInput(prefix + "latents", clamped());
    Value kept =
        selection.rule() == Rule.GROUP_MAX
            ? largestOfGroups(graph, sizes)
            : largestOfRow(graph, sizes, latentNumbers);
    Value own = graph.node("Gather", List.of(values, latentNumbers), Attribute.of("axis", 1));
    return graph.scale(own, graph.cast(kept));
  }

  /** Whether each clamped latent is among the k largest; of equal ones the first, as in the SAE. */
  private Value largestOfRow(Graph graph, Value sizes, Value latentNumbers) {
    List<Value> top = graph.nodes("TopK", 2, List.of(sizes, graph.integers(selection.k())));
    Value same =
        graph.node(
            "Equal",
            List.of(
                graph.reshape(top.get(1), -1, selection.k(), 1),
                graph.reshape(latentNumbers, 1, 1, -1)));
    return graph.node(
        "ReduceMax", List.of(graph.cast(same), graph.integers(1)), Attribute.of("keepdims", 0));
  }

  /** Whether each clamped latent is the largest of its group; of equal ones the first. */
  private Value largestOfGroups(Graph graph, Value sizes) {
    Value largest =
        graph.node(
            "ArgMax",
            List.of(graph.reshape(sizes, 0, selection.k(), -1)),
            Attribute.of("axis", 2),
            Attribute.of("keepdims", 0));
    Value ofGroup =
        graph.node(
            "Gather",
            List.of(largest, graph.longInput(prefix + "groups", clamped())),
            Attribute.of("axis", 1));
    return graph.node("Equal", List.of(ofGroup, graph.longInput(prefix + "places", clamped())));
  }

  /**
   * Normalized rows.
   *
   * @param scale {@code [rows, 1]}, by which decoded rows are multiplied
   */
  private record Normalized(Value rows, Value scale) {}

  private Normalized normalize(Graph graph, Value x) {
    return switch (config.normalization()) {
      case NONE -> new Normalized(x, Graph.NOTHING);
      case CONSTANT_NORM_RESCALE -> rescaled(graph, x);
      case UNIT_NORM -> standardized(graph, x);
    };
  }

  /** To the norm sqrt(d); rows of zeros stay. */
  private Normalized rescaled(Graph graph, Value x) {
    Value norm = graph.node("ReduceL2", List.of(x, graph.integers(1)));
    Value root = graph.single((float) Math.sqrt(config.dIn()));
    Value empty = graph.node("Equal", List.of(norm, graph.single(0f)));
    Value scale = graph.node("Div", List.of(graph.node("Where", List.of(empty, root, norm)), root));
    return new Normalized(graph.node("Div", List.of(x, scale)), scale);
  }

  /** To mean 0 and (unbiased) standard deviation 1. */
  private Normalized standardized(Graph graph, Value x) {
    Value centered = sub(graph, x, graph.node("ReduceMean", List.of(x, graph.integers(1))));
    Value squares = graph.node("ReduceSumSquare", List.of(centered, graph.integers(1)));
    Value degrees = graph.single((float) Math.max(1, config.dIn() - 1));
    Value deviation = graph.node("Sqrt", List.of(graph.node("Div", List.of(squares, degrees))));
    Value divisor = graph.add(deviation, graph.single(STANDARDIZE_EPSILON));
    return new Normalized(graph.node("Div", List.of(centered, divisor)), deviation);
  }
}
