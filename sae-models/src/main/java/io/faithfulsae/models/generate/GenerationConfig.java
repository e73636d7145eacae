package io.faithfulsae.models.generate;

import io.faithfulsae.io.Expected;

/**
 * How a faithful data set is sampled.
 *
 * @param tokenBudget tokens to write, at least 1; the record that reaches it is the last
 * @param maxLength maximum tokens per record including BOS, at least 2
 * @param temperature above 0; 1 for the model's own distribution
 * @param topP in (0, 1]: sample from the likeliest tokens that together have this probability; 1
 *     for all
 * @param seed record i depends only on the seed and i
 * @param batch records sampled in parallel, at least 1; does not change them
 */
public record GenerationConfig(
    long tokenBudget, int maxLength, double temperature, double topP, long seed, int batch) {
  private static final String CHANGE = "change this setting";

  /** Checks the settings. */
  public GenerationConfig {
    Expected.atLeast("tokenBudget", tokenBudget, 1L, CHANGE);
    Expected.atLeast("maxLength", maxLength, 2, CHANGE);
    check(temperature > 0 && Double.isFinite(temperature), "temperature > 0", temperature);
    check(topP > 0 && topP <= 1, "topP in (0, 1]", topP);
    Expected.atLeast("batch", batch, 1, CHANGE);
  }

  /** The study's settings: temperature 1, top-p 1, 64 records in parallel. */
  public static GenerationConfig of(long tokenBudget, int maxLength, long seed) {
    return new GenerationConfig(tokenBudget, maxLength, 1, 1, seed, 64);
  }

  private static void check(boolean good, String expected, double got) {
    if (!good) {
      throw new IllegalArgumentException(Expected.message(expected, got, CHANGE));
    }
  }
}
