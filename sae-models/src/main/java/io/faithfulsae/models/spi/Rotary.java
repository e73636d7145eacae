package io.faithfulsae.models.spi;

import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.spi.Graph.Attribute;
import io.faithfulsae.models.spi.Graph.Value;
import java.util.Arrays;
import java.util.List;

/**
 * Rotary positions (Su et al., 2021, arXiv 2104.09864) in transformers' layout: dimension i of a
 * head is rotated with dimension {@code i + width / 2}.
 */
public final class Rotary {
  /** Floats in a processor's widest vectors. */
  private static final int VECTOR = 16;

  private final int headDim;
  private final float[] frequencies;

  private Rotary(int headDim, float[] frequencies) {
    this.headDim = headDim;
    this.frequencies = frequencies;
  }

  /**
   * Reads {@code rope_parameters} (since transformers 5), or {@code rope_theta}, {@code
   * rope_scaling} and {@code partial_rotary_factor} (earlier).
   *
   * @param base default for {@code rope_theta}
   * @throws SaeFormatException for a scaling other than default, linear and llama3
   */
  public static Rotary of(ModelConfig config, int headDim, double base) throws SaeFormatException {
    String field = config.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
    JsonNode options = config.json(field);
    double share =
        options.path("partial_rotary_factor").asDouble(config.real("partial_rotary_factor", 1));
    return of(
        config,
        field,
        options,
        headDim,
        share,
        options.path("rope_theta").asDouble(config.real("rope_theta", base)));
  }

  /**
   * Rotary positions from one set of options.
   *
   * @param field field with the options, for messages
   * @param options {@code rope_type} and its parameters; a missing node for none
   * @param share share of a head's dimensions to rotate
   * @param base base of the frequencies
   */
  public static Rotary of(
      ModelConfig config, String field, JsonNode options, int headDim, double share, double base)
      throws SaeFormatException {
    int width = (int) (headDim * share);
    if (width < 2 || width % 2 != 0) {
      throw config.problem(
          field,
          "an even number of rotated dimensions out of the head's " + headDim + ", not " + width);
    }
    float[] frequencies = new float[width / 2];
    for (int i = 0; i < frequencies.length; i++) {
      frequencies[i] = (float) (1 / Math.pow(base, 2.0 * i / width));
    }
    String kind = options.path("rope_type").asText(options.path("type").asText("default"));
    switch (kind) {
      case "default" -> {}
      case "linear" -> {
        double factor = positive(config, field, options, "factor");
        for (int i = 0; i < frequencies.length; i++) {
          frequencies[i] = (float) (frequencies[i] / factor);
        }
      }
      case "llama3" -> stretchLowFrequencies(config, field, options, frequencies);
      default -> throw config.problem(field, "rope_type \"default\", \"linear\" or \"llama3\"");
    }
    return new Rotary(headDim, frequencies);
  }

  /**
   * Llama 3.1: wavelengths beyond the old context are scaled by a factor, short ones are unchanged,
   * and those in between are interpolated.
   */
  private static void stretchLowFrequencies(
      ModelConfig config, String field, JsonNode options, float[] frequencies)
      throws SaeFormatException {
    double factor = positive(config, field, options, "factor");
    double low = positive(config, field, options, "low_freq_factor");
    double high = positive(config, field, options, "high_freq_factor");
    double context = positive(config, field, options, "original_max_position_embeddings");
    for (int i = 0; i < frequencies.length; i++) {
      double rotations = context * frequencies[i] / (2 * Math.PI);
      double kept = Math.min(1, Math.max(0, (rotations - low) / (high - low)));
      frequencies[i] = (float) (((1 - kept) / factor + kept) * frequencies[i]);
    }
  }

  private static double positive(ModelConfig config, String field, JsonNode options, String name)
      throws SaeFormatException {
    double value = options.path(name).asDouble(0);
    if (!(value > 0)) {
      throw config.problem(field, "a number > 0 under " + name);
    }
    return value;
  }

  /**
   * Rotates queries or keys.
   *
   * @param x {@code [rows, heads * headDim]}
   * @param positions {@code [rows]} int64
   */
  public Value apply(Graph graph, Value x, Value positions, int heads) {
    String key = "rotary." + Arrays.toString(frequencies);
    Value cosines = graph.once(key + ".cos", () -> ofAngles(graph, "Cos", key, positions));
    Value sines = graph.once(key + ".sin", () -> ofAngles(graph, "Sin", key, positions));
    long width = (long) heads * headDim;
    // All rows as one sequence, each with its own angles.
    Value sequence = graph.reshape(x, 1, -1, width);
    int rotatedWidth = 2 * frequencies.length;
    Value rotated =
        graph.node(
            "RotaryEmbedding",
            List.of(sequence, cosines, sines),
            Attribute.of("num_heads", heads),
            Attribute.of("rotary_embedding_dim", rotatedWidth == headDim ? 0 : rotatedWidth));
    return graph.reshape(rotated, -1, width);
  }

  private Value ofAngles(Graph graph, String function, String key, Value positions) {
    Value values = graph.node(function, List.of(angles(graph, key, positions)));
    Value turning =
        padded() == frequencies.length
            ? values
            : graph.node(
                "Slice",
                List.of(
                    values,
                    graph.integers(0),
                    graph.integers(frequencies.length),
                    graph.integers(-1)));
    return graph.computed(turning);
  }

  private Value angles(Graph graph, String key, Value positions) {
    return graph.once(
        key + ".angles",
        () ->
            graph.scale(
                graph.reshape(graph.cast(positions), 1, -1, 1),
                graph.constant(Arrays.copyOf(frequencies, padded()), 1, 1, padded())));
  }

  /**
   * Pads a row's angles to whole vectors of the processor: a remainder would be computed by other
   * code with slightly different rounding, and its size would depend on the number of rows.
   */
  private int padded() {
    return (frequencies.length + VECTOR - 1) / VECTOR * VECTOR;
  }
}
