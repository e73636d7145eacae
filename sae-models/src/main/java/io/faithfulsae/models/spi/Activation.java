package io.faithfulsae.models.spi;

import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.spi.Graph.Attribute;
import io.faithfulsae.models.spi.Graph.Value;
import java.util.List;

/** The nonlinearity of an MLP, under transformers' names. */
public enum Activation {
  /** {@code x · Φ(x)}. */
  GELU,
  /** GELU by its tanh approximation. */
  GELU_TANH,
  /** {@code max(x, 0)}. */
  RELU,
  /** {@code x · sigmoid(x)}. */
  SILU;

  /**
   * The activation that a field of {@code config.json} names.
   *
   * @param otherwise its name where the field is missing
   * @throws SaeFormatException if it names another
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

  /** Applies it elementwise; GELU in float32, since not every device has it in bfloat16. */
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
