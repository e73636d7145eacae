package io.faithfulsae.models.internal.families;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.spi.Activation;
import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.Architecture.Scores;
import io.faithfulsae.models.spi.GatedTransformer;
import io.faithfulsae.models.spi.ModelConfig;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.models.spi.Rotary;
import io.faithfulsae.models.spi.Weights;
import java.util.List;
import java.util.function.IntPredicate;

/**
 * Gemma 3: Gemma 2 with query and key norms instead of soft-capped scores, and a separate rotary
 * base for blocks with a sliding window.
 */
public final class Gemma3Family implements ModelFamily {
  private static final int HEAD_DIM = 256;
  private static final String WINDOWED = "sliding_attention";
  private static final String GLOBAL = "full_attention";

  /** For the service loader. */
  public Gemma3Family() {}

  @Override
  public String modelType() {
    return "gemma3_text";
  }

  @Override
  public Architecture architecture(ModelConfig config, Weights weights) throws SaeFormatException {
    return text(config, true).names("model.", "lm_head.weight");
  }

  /** The language model of a multimodal checkpoint; only text is supported. */
  public static final class WithImages implements ModelFamily {

    /** For the service loader. */
    public WithImages() {}

    @Override
    public String modelType() {
      return "gemma3";
    }

    @Override
    public Architecture architecture(ModelConfig config, Weights weights)
        throws SaeFormatException {
      ModelConfig text = config.part("text_config");
      if (text.has("final_logit_softcapping")) { // transformers does not compute it here
        throw text.problem("final_logit_softcapping", "null");
      }
      boolean inside = weights.has("model.language_model.embed_tokens.weight");
      return text(text, config.flag("tie_word_embeddings", true))
          .names(
              inside ? "model.language_model." : "language_model.model.",
              inside ? "lm_head.weight" : "language_model.lm_head.weight");
    }
  }

  private static GatedTransformer text(ModelConfig read, boolean tied) throws SaeFormatException {
    // Sizes that checkpoints omit.
    ModelConfig config =
        read.otherwise("vocab_size", 262_208)
            .otherwise("num_attention_heads", 8)
            .otherwise("num_key_value_heads", 4)
            .otherwise("max_position_embeddings", 131_072);
    if (config.flag("use_bidirectional_attention", false)) {
      throw config.problem("use_bidirectional_attention", "false");
    }
    if (config.has("attn_logit_softcapping")) {
      throw config.problem("attn_logit_softcapping", "null");
    }
    GatedTransformer model = GatedTransformer.of(config, HEAD_DIM, tied);
    IntPredicate slides = slides(config, model.dimensions().layers());
    int headDim = model.dimensions().headDim();
    Rotary windowed = rotary(config, WINDOWED, headDim);
    Rotary global = rotary(config, GLOBAL, headDim);
    double scale = 1 / Math.sqrt(config.real("query_pre_attn_scalar", 256));
    Scores near = new Scores((float) scale, config.number("sliding_window", 4096), 0);
    Scores all = Scores.scaled(scale);
    boolean bias = config.flag("attention_bias", false);
    return model
        .activation(Activation.of(config, "hidden_activation", "gelu_pytorch_tanh"))
        .biases(bias, bias, false)
        .queryKeyNorms()
        .rotary(layer -> slides.test(layer) ? windowed : global)
        .scores(layer -> slides.test(layer) ? near : all)
        .postNorms()
        .normOffset(1)
        .embeddingScale(Math.sqrt(model.dimensions().dModel()))
        .logitSoftcap(config.real("final_logit_softcapping", 0));
  }

  /** {@code layer_types} if present; otherwise all but the last block of each group. */
  private static IntPredicate slides(ModelConfig config, int layers) throws SaeFormatException {
    if (!config.has("layer_types")) {
      int pattern = config.number("sliding_window_pattern", 6);
      return layer -> (layer + 1) % pattern != 0;
    }
    JsonNode types = config.json("layer_types");
    boolean valid = types.size() == layers;
    for (JsonNode type : types) {
      valid &= List.of(WINDOWED, GLOBAL).contains(type.asText());
    }
    if (!valid) {
      throw config.problem(
          "layer_types", layers + " times \"" + WINDOWED + "\" or \"" + GLOBAL + "\"");
    }
    return layer -> types.path(layer).asText().equals(WINDOWED);
  }

  /**
   * {@code rope_parameters} per kind of block (since transformers 5); before that, {@code
   * rope_scaling} for global blocks only.
   */
  private static Rotary rotary(ModelConfig config, String type, int headDim)
      throws SaeFormatException {
    boolean global = type.equals(GLOBAL);
    double base =
        global ? config.real("rope_theta", 1e6) : config.real("rope_local_base_freq", 1e4);
    if (!config.has("rope_parameters")) {
      JsonNode options = global ? config.json("rope_scaling") : MissingNode.getInstance();
      return Rotary.of(config, "rope_scaling", options, headDim, 1, base);
    }
    JsonNode options = config.json("rope_parameters").path(type);
    if (!options.isObject()) {
      throw config.problem("rope_parameters", "an object under " + type);
    }
    return Rotary.of(
        config, "rope_parameters", options, headDim, 1, options.path("rope_theta").asDouble(base));
  }
}
