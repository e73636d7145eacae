package io.faithfulsae.models.internal.families;

import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.GatedTransformer;
import io.faithfulsae.models.spi.ModelConfig;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.models.spi.Weights;

/** Qwen 2 and 2.5: Llama with biases for query, key and value. */
public final class Qwen2Family implements ModelFamily {

  /** For the service loader. */
  public Qwen2Family() {}

  @Override
  public String modelType() {
    return "qwen2";
  }

  @Override
  public Architecture architecture(ModelConfig config, Weights weights) throws SaeFormatException {
    if (config.flag("use_sliding_window", false)) {
      throw config.problem("use_sliding_window", "false");
    }
    return GatedTransformer.of(config, 0, false).biases(true, false, false);
  }
}
