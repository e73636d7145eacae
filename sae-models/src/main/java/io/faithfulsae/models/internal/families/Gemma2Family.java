package io.faithfulsae.models.internal.families;

import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.spi.Activation;
import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.Architecture.Scores;
import io.faithfulsae.models.spi.GatedTransformer;
import io.faithfulsae.models.spi.ModelConfig;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.models.spi.Weights;

/**
 * Gemma 2: scaled embeddings, norms that multiply by {@code 1 + weight} before and after attention
 * and MLP, a sliding window in every other block, soft-capped scores and logits.
 */
public final class Gemma2Family implements ModelFamily {

  /** For the service loader. */
  public Gemma2Family() {}

  @Override
  public String modelType() {
    return "gemma2";
  }

  @Override
  public Architecture architecture(ModelConfig config, Weights weights) throws SaeFormatException {
    GatedTransformer model = GatedTransformer.of(config, 256, true);
    double scale = 1 / Math.sqrt(config.real("query_pre_attn_scalar", 256));
    double softcap = config.real("attn_logit_softcapping", 0);
    int window = config.number("sliding_window", 4096);
    boolean bias = config.flag("attention_bias", false);
    return model
        .activation(Activation.of(config, "hidden_activation", "gelu_pytorch_tanh"))
        .biases(bias, bias, false)
        .scores(
            layer -> new Scores((float) scale, slides(config, layer) ? window : 0, (float) softcap))
        .postNorms()
        .normOffset(1)
        .embeddingScale(Math.sqrt(model.dimensions().dModel()))
        .logitSoftcap(config.real("final_logit_softcapping", 0));
  }

  /** {@code layer_types} if present; otherwise every other block, starting with the first. */
  private static boolean slides(ModelConfig config, int layer) {
    return config.has("layer_types")
        ? config.json("layer_types").path(layer).asText().equals("sliding_attention")
        : layer % 2 == 0;
  }
}
