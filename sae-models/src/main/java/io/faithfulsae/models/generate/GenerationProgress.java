package io.faithfulsae.models.generate;

import java.time.Duration;

/**
 * The progress of a data set.
 *
 * @param records written so far
 * @param tokens written so far, plus those of records in progress
 * @param tokenBudget tokens to write
 * @param tokensPerSecond in this run
 * @param remaining estimated time left
 */
public record GenerationProgress(
    long records, long tokens, long tokenBudget, double tokensPerSecond, Duration remaining) {

  /** Receives progress about once a second. */
  @FunctionalInterface
  public interface Listener {
    /**
     * Returns whether to continue; if not, records in progress are discarded and the next run
     * samples them again.
     */
    boolean onProgress(GenerationProgress progress);
  }
}
