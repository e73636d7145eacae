package io.faithfulsae.study.compare;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import io.faithfulsae.Sae;
import io.faithfulsae.io.CheckedJson;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Describes the SAEs of one data set and several seeds, in the study's terms. */
public record RunFields(
    @Nullable String model,
    @Nullable String hook,
    @JsonProperty("d_sae") int dSae,
    int k,
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
    return new RunFields(
        first.metadata().get("model_name"),
        first.metadata().get("hook_name"),
        first.config().dSae(),
        first.config().k(),
        lr.isNumber() ? lr.doubleValue() : null,
        seeds,
        first.metadata().get("dataset_path"),
        context == null ? null : Integer.valueOf(context),
        steps.isNumber() ? steps.longValue() : null);
  }

  private static JsonNode training(Path folder) throws IOException {
    Path file = folder.resolve("training.json");
    return Files.exists(file)
        ? CheckedJson.read(file, "restore it, or train again")
        : JsonNodeFactory.instance.objectNode();
  }
}
