package com.example.plugin;

import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.ModelConfig;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.models.spi.Weights;
import java.io.IOException;

/** A family of language models: GPT-2 where {@code config.json} calls it {@code plugin_gpt2}. */
public final class RenamedGpt2 implements ModelFamily {
  @Override
  public String modelType() {
    return "plugin_gpt2";
  }

  /** A family with blocks of its own would implement {@link Architecture}. */
  @Override
  public Architecture architecture(ModelConfig config, Weights weights) throws IOException {
    return ModelFamily.named("gpt2").architecture(config, weights);
  }
}
