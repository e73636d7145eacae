package io.faithfulsae.metrics;

/**
 * An estimate with its percentile bootstrap interval.
 *
 * @param estimate the statistic on the whole sample
 * @param low lower end of the interval
 * @param high upper end of the interval
 * @param level coverage, such as 0.95
 * @param resamples number of bootstrap resamples
 */
public record BootstrapInterval(
    double estimate, double low, double high, double level, int resamples) {

  /**
   * Two groups compared.
   *
   * @param first the statistic of the first group
   * @param second the statistic of the second group
   * @param difference first − second, with its interval
   * @param pValue two-sided: twice the smaller share of resampled differences on either side of 0
   *     (0 counts on both sides, one is added to the count and to the resamples), at most 1. Below
   *     1 − level about when the interval leaves out 0.
   */
  public record Difference(
      double first, double second, BootstrapInterval difference, double pValue) {}
}
