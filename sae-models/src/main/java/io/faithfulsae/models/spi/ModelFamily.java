package io.faithfulsae.models.spi;

import io.faithfulsae.spi.Services;
import java.io.IOException;
import java.util.List;
import java.util.SortedMap;

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

  /**
   * The built-in families and those of other jars on the class path, by model type.
   *
   * @throws IllegalStateException if one cannot be loaded, or two have the same model type; the
   *     message names the classes and jars
   */
  static SortedMap<String, ModelFamily> installed() {
    return Services.byName(ModelFamily.class, List.of(), ModelFamily::modelType);
  }

  /**
   * An installed family, for one of your own that delegates to it.
   *
   * @throws IllegalArgumentException if there is none of that type; the message lists all types
   * @throws IllegalStateException as for {@link #installed}
   */
  static ModelFamily named(String modelType) {
    return Services.named(
        ModelFamily.class, "families", List.of(), ModelFamily::modelType, modelType);
  }
}
