package io.faithfulsae.models.internal.families;

import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.Architecture.Scores;
import io.faithfulsae.models.spi.GatedTransformer;
import io.faithfulsae.models.spi.ModelConfig;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.models.spi.Weights;

/** Mistral: Llama with a sliding window. */
public final class MistralFamily implements ModelFamily {

  /** For the service loader. */
  public MistralFamily() {}

  @Override
  public String modelType() {
    return "mistral";
  }

  @Override
  public Architecture architecture(ModelConfig config, Weights weights) throws SaeFormatException {
    GatedTransformer model = GatedTransformer.of(config, 0, false);
    Scores scores =
        new Scores(
            (float) (1 / Math.sqrt(model.dimensions().headDim())),
            config.number("sliding_window", 0),
            0);
    return model.scores(layer -> scores);
  }
}
