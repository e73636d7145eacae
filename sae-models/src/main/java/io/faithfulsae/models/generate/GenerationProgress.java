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

  /** Hears of progress about once a second. */
  @FunctionalInterface
  public interface Listener {
    /**
     * Returns whether to go on; the records under way are dropped otherwise, and are made again by
     * the next run.
     */
    boolean goOn(GenerationProgress progress);
  }
}
