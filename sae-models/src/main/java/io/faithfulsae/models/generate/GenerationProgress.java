package io.faithfulsae.models.generate;

import java.time.Duration;

/**
 * How far a data set is.
 *
 * @param records written
 * @param tokens written, and those of the records under way
 * @param tokenBudget to be written
 * @param tokensPerSecond in this run
 * @param remaining about how long it will take
 */
public record GenerationProgress(
    long records, long tokens, long tokenBudget, double tokensPerSecond, Duration remaining) {

  /** Receives progress about once a second. */
  @FunctionalInterface
  public interface Listener {
    /**
     * Returns whether to continue; otherwise the records in progress are dropped and made again by
     * the next run.
     */
    boolean onProgress(GenerationProgress progress);
  }
}
