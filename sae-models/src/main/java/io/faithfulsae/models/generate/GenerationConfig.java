package io.faithfulsae.models.generate;

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

  /** Checks the settings. */
  public GenerationConfig {
    check(tokenBudget >= 1, "tokenBudget >= 1", tokenBudget);
    check(maxLength >= 2, "maxLength >= 2", maxLength);
    check(
        temperature > 0 && temperature < Double.POSITIVE_INFINITY, "temperature > 0", temperature);
    check(topP > 0 && topP <= 1, "topP in (0, 1]", topP);
    check(batch >= 1, "batch >= 1", batch);
  }

  /** The study's settings: temperature 1, top-p 1, 64 records in parallel. */
  public static GenerationConfig of(long tokenBudget, int maxLength, long seed) {
    return new GenerationConfig(tokenBudget, maxLength, 1, 1, seed, 64);
  }

  private static void check(boolean good, String expected, Object got) {
    if (!good) {
      throw new IllegalArgumentException(
          "expected " + expected + ", got " + got + "; change this setting");
    }
  }
}
