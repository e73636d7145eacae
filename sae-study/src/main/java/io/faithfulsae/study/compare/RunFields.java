package io.faithfulsae.study.compare;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import io.faithfulsae.Activation;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.Sae;
import io.faithfulsae.io.CheckedJson;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Describes the SAEs of one data set and several seeds, in the study's terms.
 *
 * @param k active latents per row; null where activations decide, as with ReLU
 * @param activation which latents fire, such as {@code JumpReLU}; null for TopK
 */
public record RunFields(
    @Nullable String model,
    @Nullable String hook,
    @JsonProperty("d_sae") int dSae,
    @Nullable Integer k,
    @Nullable String activation,
    @Nullable Double lr,
    List<Long> seeds,
    @Nullable String dataset,
    @JsonProperty("seq_len") @Nullable Integer seqLen,
    @Nullable Long steps) {

  /**
   * Describes the first SAE, with the seeds of all; what their folders do not say is omitted.
   *
   * @param folders of the seeds' SAEs, at least one
   */
  public static RunFields of(Sae first, List<Path> folders) throws IOException {
    List<Long> seeds = new ArrayList<>();
    for (Path folder : folders) {
      JsonNode seed = training(folder).path("training").path("seed");
      if (seed.isNumber()) {
        seeds.add(seed.longValue());
      }
    }
    JsonNode training = training(folders.get(0));
    JsonNode lr = training.path("training").path("lr");
    JsonNode steps = training.path("result").path("steps");
    String context = first.metadata().get("context_size");
    Activation activation = first.config().activation();
    return new RunFields(
        first.metadata().get("model_name"),
        first.metadata().get("hook_name"),
        first.config().dSae(),
        activation.latentsPerRow().isPresent() ? first.config().k() : null,
        activation instanceof TopK ? null : activation.label(),
        lr.isNumber() ? lr.doubleValue() : null,
        seeds,
        first.metadata().get("dataset_path"),
        context == null ? null : Integer.valueOf(context),
        steps.isNumber() ? steps.longValue() : null);
  }

  /** Which latents fire, such as {@code k = 32} or {@code JumpReLU}. */
  public String label() {
    return activation == null ? "k = " + k : activation;
  }

  private static JsonNode training(Path folder) throws IOException {
    Path file = folder.resolve("training.json");
    return Files.exists(file)
        ? CheckedJson.read(file, "restore it, or train again")
        : JsonNodeFactory.instance.objectNode();
  }
}
