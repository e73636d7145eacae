package io.faithfulsae.models.llama;

import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.SaeFormatException;
import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.Graph;
import io.faithfulsae.models.spi.Graph.Attribute;
import io.faithfulsae.models.spi.Graph.Value;
import io.faithfulsae.models.spi.ModelConfig;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.models.spi.Weights;
import java.util.List;

/**
 * Llama: rotary positions, RMS norm before attention and MLP, grouped key and value heads, a gated
 * MLP, weights stored {@code [out, in]}.
 */
public final class LlamaFamily implements ModelFamily {

  /** For the service loader. */
  public LlamaFamily() {}

  @Override
  public String modelType() {
    return "llama";
  }

  @Override
  public Architecture architecture(ModelConfig config, Weights weights) throws SaeFormatException {
    int width = config.number("hidden_size");
    int heads = config.number("num_attention_heads");
    int keyValueHeads = config.number("num_key_value_heads", heads);
    int headDim = config.number("head_dim", Math.max(1, width / heads));
    if (heads % keyValueHeads != 0) {
      throw config.problem("num_key_value_heads", "a divisor of num_attention_heads = " + heads);
    }
    if (headDim % 2 != 0) {
      throw config.problem("head_dim", "an even width, for rotary positions");
    }
    String activation = config.text("hidden_act", "silu");
    if (!activation.equals("silu") && !activation.equals("swish")) {
      throw config.problem("hidden_act", "silu");
    }
    return new Llama(
        new Architecture.Dimensions(
            config.number("num_hidden_layers"),
            width,
            config.number("vocab_size"),
            config.number("max_position_embeddings", 2048),
            heads,
            keyValueHeads,
            headDim),
        config.number("intermediate_size"),
        (float) config.real("rms_norm_eps", 1e-6),
        rotaryBase(config),
        config.flag("attention_bias", false),
        config.flag("mlp_bias", false),
        config.flag("tie_word_embeddings", false));
  }

  /**
   * {@code rope_parameters} (since transformers 5) or {@code rope_theta} and {@code rope_scaling}
   * (before).
   */
  private static double rotaryBase(ModelConfig config) throws SaeFormatException {
    String field = config.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
    JsonNode options = config.json(field);
    String kind = options.path("rope_type").asText(options.path("type").asText("default"));
    if (!kind.equals("default")) {
      throw config.problem(field, "rope_type \"default\"");
    }
    if (options.path("partial_rotary_factor").asDouble(1) != 1
        || config.real("partial_rotary_factor", 1) != 1) {
      throw config.problem(field, "partial_rotary_factor 1");
    }
    return options.path("rope_theta").asDouble(config.real("rope_theta", 10_000));
  }

  private record Llama(
      Dimensions dimensions,
      int inner,
      float epsilon,
      double rotaryBase,
      boolean attentionBias,
      boolean mlpBias,
      boolean tied)
      implements Architecture {

    @Override
    public Value embed(Graph graph, Value tokens, Value positions) throws SaeFormatException {
      return graph.lookup(
          "model.embed_tokens.weight", tokens, dimensions.vocabularySize(), dimensions.dModel());
    }

    @Override
    public Value block(Graph graph, int layer, Value residual, Value positions, Attention attention)
        throws SaeFormatException {
      String name = "model.layers." + layer + ".";
      long width = dimensions.dModel();
      long queryWidth = dimensions.queryWidth();
      long keyValueWidth = dimensions.keyValueWidth();
      Value normed = norm(graph, residual, name + "input_layernorm");
      Value query =
          linear(graph, normed, name + "self_attn.q_proj", width, queryWidth, attentionBias);
      Value key =
          linear(graph, normed, name + "self_attn.k_proj", width, keyValueWidth, attentionBias);
      Value value =
          linear(graph, normed, name + "self_attn.v_proj", width, keyValueWidth, attentionBias);
      Value mixed =
          attention.apply(
              layer,
              rotate(graph, query, positions, dimensions.heads()),
              rotate(graph, key, positions, dimensions.keyValueHeads()),
              value,
              (float) (1 / Math.sqrt(dimensions.headDim())));
      Value middle =
          graph.add(
              residual,
              linear(graph, mixed, name + "self_attn.o_proj", queryWidth, width, attentionBias));
      return graph.add(
          middle,
          mlp(graph, norm(graph, middle, name + "post_attention_layernorm"), name + "mlp."));
    }

    @Override
    public Value unembed(Graph graph, Value residual) throws SaeFormatException {
      String head = tied ? "model.embed_tokens.weight" : "lm_head.weight";
      return graph.multiply(
          norm(graph, residual, "model.norm"),
          graph.weight(head, dimensions.vocabularySize(), dimensions.dModel()),
          true);
    }

    private Value mlp(Graph graph, Value x, String name) throws SaeFormatException {
      Value gate = linear(graph, x, name + "gate_proj", dimensions.dModel(), inner, mlpBias);
      Value up = linear(graph, x, name + "up_proj", dimensions.dModel(), inner, mlpBias);
      Value open = graph.scale(gate, graph.node("Sigmoid", List.of(gate)));
      return linear(
          graph, graph.scale(open, up), name + "down_proj", inner, dimensions.dModel(), mlpBias);
    }

    /** All rows as one sequence, each with its own row of angles. */
    private Value rotate(Graph graph, Value x, Value positions, int heads) {
      Value cosines =
          graph.once("rotary.cos", () -> graph.node("Cos", List.of(angles(graph, positions))));
      Value sines =
          graph.once("rotary.sin", () -> graph.node("Sin", List.of(angles(graph, positions))));
      long width = (long) heads * dimensions.headDim();
      Value rotated =
          graph.node(
              "RotaryEmbedding",
              List.of(graph.reshape(x, 1, -1, width), cosines, sines),
              Attribute.of("num_heads", heads));
      return graph.reshape(rotated, -1, width);
    }

    private Value angles(Graph graph, Value positions) {
      return graph.once(
          "rotary.angles",
          () -> {
            int half = dimensions.headDim() / 2;
            float[] frequencies = new float[half];
            for (int i = 0; i < half; i++) {
              frequencies[i] = (float) (1 / Math.pow(rotaryBase, 2.0 * i / dimensions.headDim()));
            }
            Value column = graph.reshape(graph.cast(positions), 1, -1, 1);
            return graph.scale(column, graph.constant(frequencies, 1, 1, half));
          });
    }

    private Value norm(Graph graph, Value x, String name) throws SaeFormatException {
      return graph.node(
          "RMSNormalization",
          List.of(x, graph.weight(name + ".weight", dimensions.dModel())),
          Attribute.of("epsilon", epsilon));
    }

    private static Value linear(Graph graph, Value x, String name, long in, long out, boolean bias)
        throws SaeFormatException {
      Value weight = graph.weight(name + ".weight", out, in);
      return bias
          ? graph.multiply(x, weight, true, graph.weight(name + ".bias", out))
          : graph.multiply(x, weight, true);
    }
  }
}
