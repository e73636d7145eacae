package io.faithfulsae.models.spi;

import java.io.IOException;

/**
 * A kind of language model, such as GPT-2 or Llama. To add one, write one small class and name it
 * in {@code META-INF/services/io.faithfulsae.models.spi.ModelFamily}.
 */
public interface ModelFamily {

  /** The {@code model_type} in {@code config.json} that it reads. */
  String modelType();

  /**
   * Reads a model's options.
   *
   * @throws io.faithfulsae.io.SaeFormatException if the configuration asks for something that this
   *     family does not support here; it names the field
   */
  Architecture architecture(ModelConfig config, Weights weights) throws IOException;
}
