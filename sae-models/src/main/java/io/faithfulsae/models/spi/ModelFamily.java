package io.faithfulsae.models.spi;

import java.io.IOException;

/**
 * A family of language models, such as GPT-2 or Llama. To add one, implement this interface and
 * list the class in {@code META-INF/services/io.faithfulsae.models.spi.ModelFamily}.
 */
public interface ModelFamily {

  /** The {@code model_type} in {@code config.json} that identifies this family. */
  String modelType();

  /**
   * Reads a model's options.
   *
   * @throws io.faithfulsae.io.SaeFormatException if the configuration needs something that is not
   *     supported here; it names the field
   */
  Architecture architecture(ModelConfig config, Weights weights) throws IOException;
}
