package io.faithfulsae.metrics;

/**
 * An estimate with its interval. Means have a BCa bootstrap interval (bias-corrected and
 * accelerated: Efron, 1987); ratios of sums over sequences a studentized one; shares of latents
 * above a threshold have Wilson's score interval, widened by the spread that resampled sequences
 * show; differences of such shares a normal one with the spread of resampled differences. All hold
 * the estimate; BCa does unless more than (1 + level) / 2 of the resamples lie on one side of it.
 *
 * @param estimate the statistic on the whole sample
 * @param low lower end of the interval
 * @param high upper end of the interval
 * @param level coverage, such as 0.95
 * @param resamples number of bootstrap resamples; 0 where a formula needed none, or where there was
 *     but one thing to resample and the interval has no width
 */
public record BootstrapInterval(
    double estimate, double low, double high, double level, int resamples) {

  /**
   * Two groups compared.
   *
   * @param first the statistic of the first group
   * @param second the statistic of the second group
   * @param difference first − second, with its interval
   * @param pValue two-sided: the largest 1 − level at which the interval would still hold 0, so
   *     that it is below 1 − level just when the interval leaves out 0
   */
  public record Difference(
      double first, double second, BootstrapInterval difference, double pValue) {}
}
