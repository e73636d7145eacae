package io.faithfulsae.study.compare;

import com.fasterxml.jackson.annotation.JsonProperty;
import io.faithfulsae.Sae;
import io.faithfulsae.metrics.FakeFeatures;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/**
 * The fake features of two seeds' SAEs, in the format of the study's result files.
 *
 * @param run description of the SAEs; what their folders do not say is omitted
 * @param result counts and ratios
 */
public record FakeFeaturePair(RunFields run, Result result) {

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
   * Combines two results.
   *
   * @param folder of the first SAE, which like {@code otherFolder}, that of the second, describes
   *     its training
   */
  public static FakeFeaturePair of(
      Sae sae, Path folder, FakeFeatures fake, Path otherFolder, FakeFeatures other)
      throws IOException {
    return new FakeFeaturePair(
        RunFields.of(sae, List.of(folder, otherFolder)),
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
}
