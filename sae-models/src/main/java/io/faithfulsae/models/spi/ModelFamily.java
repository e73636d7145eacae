package io.faithfulsae.models.spi;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Services;
import java.io.IOException;
import java.util.SortedMap;
import java.util.TreeMap;

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

  /** The built-in families and those of other jars on the class path, by model type. */
  static SortedMap<String, ModelFamily> installed() {
    SortedMap<String, ModelFamily> families = new TreeMap<>();
    for (ModelFamily family : Services.load(ModelFamily.class)) {
      families.put(family.modelType(), family);
    }
    return families;
  }

  /**
   * An installed family, for one of your own that delegates to it.
   *
   * @throws IllegalArgumentException if there is none of that type; the message lists all types
   */
  static ModelFamily named(String modelType) {
    SortedMap<String, ModelFamily> families = installed();
    ModelFamily family = families.get(modelType);
    if (family == null) {
      throw new IllegalArgumentException(
          Expected.message(
              "one of the installed families " + families.keySet(),
              modelType,
              "choose one, or add its jar to the class path"));
    }
    return family;
  }
}
