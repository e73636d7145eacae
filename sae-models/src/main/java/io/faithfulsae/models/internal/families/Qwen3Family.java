package io.faithfulsae.models.internal.families;

import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.GatedTransformer;
import io.faithfulsae.models.spi.ModelConfig;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.models.spi.Weights;

/** Qwen 3: Llama with query and key norms. */
public final class Qwen3Family implements ModelFamily {

  /** For the service loader. */
  public Qwen3Family() {}

  @Override
  public String modelType() {
    return "qwen3";
  }

  @Override
  public Architecture architecture(ModelConfig config, Weights weights) throws SaeFormatException {
    if (config.flag("use_sliding_window", false)) {
      throw config.problem("use_sliding_window", "false");
    }
    boolean bias = config.flag("attention_bias", false);
    return GatedTransformer.of(config, 128, false).biases(bias, bias, false).queryKeyNorms();
  }
}
