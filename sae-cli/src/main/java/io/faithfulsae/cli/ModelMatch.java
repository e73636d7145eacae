package io.faithfulsae.cli;

import io.faithfulsae.io.Expected;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.study.provenance.ModelHash;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import picocli.CommandLine.Option;

/**
 * Checks that an SAE belongs to the model that it is applied to. Models are compared by name, that
 * of the folder, which our and SAELens's SAEs record; if the names differ, by the hash of the
 * model's files, if the SAE records it.
 */
final class ModelMatch {
  static final String NAME = "model_name";
  static final String HASH = "model_sha256";

  @Option(
      names = "--any-model",
      description =
          "Apply the SAE even if it was trained on a model of another name, or does not name its"
              + " model. Default: fail.")
  boolean any;

  /**
   * Checks an SAE.
   *
   * @param named whether the user chose the model, rather than using the embedded one by default
   * @throws IllegalArgumentException if the SAE belongs to another model
   */
  void require(Path sae, Map<String, String> metadata, OnnxModel model, Path folder, boolean named)
      throws IOException {
    String recorded = metadata.get(NAME);
    if (any || model.name().equals(recorded) || (recorded == null && named)) {
      return;
    }
    if (recorded == null) {
      throw new IllegalArgumentException(
          Expected.message(
              sae + " to say which model it was trained on",
              "nothing",
              "give the model with --model, or --any-model to use " + model.name()));
    }
    String hash = metadata.get(HASH);
    if (hash == null || !hash.equals(ModelHash.of(folder))) {
      throw mismatch(sae, recorded, model.name());
    }
  }

  /** The same for activations from a file; information that either lacks is not checked. */
  void require(Path sae, Map<String, String> metadata, Map<String, String> activations) {
    String recorded = metadata.get(NAME);
    String given = activations.get("model");
    if (!any && recorded != null && given != null && !recorded.equals(given)) {
      throw mismatch(sae, recorded, given);
    }
  }

  private static IllegalArgumentException mismatch(Path sae, String recorded, String given) {
    return new IllegalArgumentException(
        Expected.message(
            "the model " + recorded + " that " + sae + " was trained on",
            given,
            "choose that model's folder with --model, or add --any-model if both are the same under two names"));
  }
}
