package io.faithfulsae.models.internal.families;

import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.GatedTransformer;
import io.faithfulsae.models.spi.ModelConfig;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.models.spi.Weights;

/** Llama 1 to 3.2, and SmolLM2, which has the same architecture. */
public final class LlamaFamily implements ModelFamily {

  /** For the service loader. */
  public LlamaFamily() {}

  @Override
  public String modelType() {
    return "llama";
  }

  @Override
  public Architecture architecture(ModelConfig config, Weights weights) throws SaeFormatException {
    boolean attentionBias = config.flag("attention_bias", false);
    return GatedTransformer.of(config, 0, false)
        .biases(attentionBias, attentionBias, config.flag("mlp_bias", false));
  }
}
