package io.faithfulsae.cli;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.TokenSource;
import io.faithfulsae.study.provenance.TrainedOn;
import java.io.IOException;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/**
 * Which positions reach the SAE. The filter of training is stored with the SAE, and evaluation uses
 * the same.
 */
final class FilterOptions {
  private static final int NORM_SEQUENCES = 256;

  @Option(
      names = "--skip-positions",
      paramLabel = "N",
      description =
          "Leading positions of each sequence to leave out. Default: 1, or as the SAE was trained.")
  @Nullable Integer skipPositions;

  @Option(
      names = "--max-norm",
      paramLabel = "X",
      description =
          "Leave out rows with a larger norm. Default: 10 x the median norm of the first sequences, or as the SAE was trained.")
  @Nullable Double maxNorm;

  @Option(
      names = "--no-filter",
      description =
          "Leave out nothing, not even BOS, as the study's authors did in training. Their fake features leave out position 0: fake-features --preset AUTHORS.")
  boolean none;

  /** Whether any of these options was set. */
  boolean given() {
    return none || skipPositions != null || maxNorm != null;
  }

  /** For training: measures the norms if no bound is set. */
  ActivationFilter forTraining(
      LanguageModel model, HookPoint hook, TokenSource text, int batchSequences)
      throws IOException {
    if (none) {
      return ActivationFilter.NONE;
    }
    ActivationFilter unbounded =
        new ActivationFilter(
            skipPositions == null ? 1 : skipPositions,
            Set.of(model.bosToken()),
            Double.POSITIVE_INFINITY);
    return maxNorm == null
        ? unbounded.calibrated(model, hook, text, batchSequences, NORM_SEQUENCES)
        : unbounded.withMaxNorm(maxNorm);
  }

  /** For evaluation: the filter of training, unless an option overrides it. */
  ActivationFilter forEvaluation(Map<String, String> metadata) {
    if (none) {
      return ActivationFilter.NONE;
    }
    ActivationFilter trained = TrainedOn.filterOf(metadata);
    return new ActivationFilter(
        skipPositions == null ? trained.skipPositions() : skipPositions,
        trained.excludedTokens(),
        maxNorm == null ? trained.maxNorm() : maxNorm);
  }
}
