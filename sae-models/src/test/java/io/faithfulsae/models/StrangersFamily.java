package io.faithfulsae.models;

import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.ModelConfig;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.models.spi.Weights;
import java.io.IOException;

/** A third-party family: GPT-2 under another name. */
public final class StrangersFamily implements ModelFamily {

  /** For the service loader. */
  public StrangersFamily() {}

  @Override
  public String modelType() {
    return "stranger";
  }

  @Override
  public Architecture architecture(ModelConfig config, Weights weights) throws IOException {
    return ModelFamily.named("gpt2").architecture(config, weights);
  }
}
