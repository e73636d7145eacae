package io.faithfulsae.compare;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.Sae;
import io.faithfulsae.metrics.FakeFeatures;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The fake features of two seeds' SAEs, in the layout of the study's result files.
 *
 * @param run what the SAEs are; what their folders do not say is left out
 * @param result counts and ratios
 */
public record FakeFeaturePair(RunFields run, Result result) {

  /** The run, under the study's names. */
  public record RunFields(
      @Nullable String model,
      @Nullable String hook,
      @JsonProperty("d_sae") int dSae,
      int k,
      @Nullable Double lr,
      List<Long> seeds,
      @Nullable String dataset,
      @JsonProperty("seq_len") @Nullable Integer seqLen,
      @Nullable Long steps) {}

  /** The numbers, under the study's names. */
  public record Result(
      @JsonProperty("avg_fake_feature_ratio") double averageRatio,
      @JsonProperty("avg_fake_feature_count1") double averageCount,
      @JsonProperty("fake_feature_count1") int count1,
      @JsonProperty("fake_feature_count2") int count2,
      @JsonProperty("fake_feature_ratio1") double ratio1,
      @JsonProperty("fake_feature_ratio2") double ratio2,
      @JsonProperty("d_sae1") int dSae1,
      @JsonProperty("d_sae2") int dSae2) {}

  /**
   * Puts two results together.
   *
   * @param folder of the first SAE, and {@code otherFolder} of the second, for what training says
   */
  public static FakeFeaturePair of(
      Sae sae, Path folder, FakeFeatures fake, Path otherFolder, FakeFeatures other)
      throws IOException {
    JsonNode training = training(folder);
    JsonNode otherTraining = training(otherFolder);
    JsonNode lr = training.path("training").path("lr");
    JsonNode steps = training.path("result").path("steps");
    String context = sae.metadata().get("context_size");
    return new FakeFeaturePair(
        new RunFields(
            sae.metadata().get("model_name"),
            sae.metadata().get("hook_name"),
            sae.config().dSae(),
            sae.config().k(),
            lr.isNumber() ? lr.doubleValue() : null,
            Stream.of(training, otherTraining)
                .map(json -> json.path("training").path("seed"))
                .filter(JsonNode::isNumber)
                .map(JsonNode::longValue)
                .toList(),
            sae.metadata().get("dataset_path"),
            context == null ? null : Integer.valueOf(context),
            steps.isNumber() ? steps.longValue() : null),
        new Result(
            (fake.ratio() + other.ratio()) / 2,
            (fake.count() + other.count()) / 2.0,
            fake.count(),
            other.count(),
            fake.ratio(),
            other.ratio(),
            fake.dSae(),
            other.dSae()));
  }

  private static JsonNode training(Path folder) throws IOException {
    Path file = folder.resolve("training.json");
    JsonMapper json = new JsonMapper();
    return Files.exists(file) ? json.readTree(Files.readAllBytes(file)) : json.createObjectNode();
  }
}
