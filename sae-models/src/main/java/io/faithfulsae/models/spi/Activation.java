package io.faithfulsae.models.spi;

import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.spi.Graph.Attribute;
import io.faithfulsae.models.spi.Graph.Value;
import java.util.List;

/** The nonlinearity of an MLP, by its names in transformers. */
public enum Activation {
  /** {@code x · Φ(x)}. */
  GELU,
  /** GELU in the tanh approximation. */
  GELU_TANH,
  /** {@code max(x, 0)}. */
  RELU,
  /** {@code x · sigmoid(x)}. */
  SILU;

  /**
   * Reads the activation from a field of {@code config.json}.
   *
   * @param otherwise the name to use if the field is missing
   * @throws SaeFormatException if the name is unknown
   */
  public static Activation of(ModelConfig config, String field, String otherwise)
      throws SaeFormatException {
    return switch (config.text(field, otherwise)) {
      case "gelu" -> GELU;
      case "gelu_new", "gelu_pytorch_tanh", "gelu_fast" -> GELU_TANH;
      case "relu" -> RELU;
      case "silu", "swish" -> SILU;
      default ->
          throw config.problem(
              field, "gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu, silu or swish");
    };
  }

  /** Applies it elementwise; GELU in float32, since not every device supports it in bfloat16. */
  public Value apply(Graph graph, Value x) {
    return switch (this) {
      case GELU -> graph.computed(graph.node("Gelu", List.of(graph.single(x))));
      case GELU_TANH ->
          graph.computed(
              graph.node("Gelu", List.of(graph.single(x)), Attribute.of("approximate", "tanh")));
      case RELU -> graph.node("Relu", List.of(x));
      case SILU -> graph.scale(x, graph.node("Sigmoid", List.of(x)));
    };
  }
}
