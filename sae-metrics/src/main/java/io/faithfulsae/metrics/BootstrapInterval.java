package io.faithfulsae.metrics;

import io.faithfulsae.metrics.internal.Bca;
import io.faithfulsae.metrics.internal.Bootstrap;
import io.faithfulsae.random.Rng.Purpose;

/**
 * An estimate with its interval. Means have a BCa bootstrap interval (bias-corrected and
 * accelerated: Efron, 1987); ratios of sums over sequences a studentized one; shares of latents
 * above a threshold have Wilson's score interval, widened by the variance over resampled sequences;
 * differences of such shares a normal interval with the standard deviation of resampled
 * differences. All contain the estimate; BCa does unless more than (1 + level) / 2 of the resamples
 * lie on one side of it.
 *
 * @param estimate the statistic on the whole sample
 * @param low lower end of the interval
 * @param high upper end of the interval
 * @param level coverage, such as 0.95
 * @param resamples number of bootstrap resamples; 0 where a formula needed none, or where there was
 *     only one unit to resample and the interval has no width
 */
public record BootstrapInterval(
    double estimate, double low, double high, double level, int resamples) {

  /**
   * The mean of a sample with its BCa bootstrap interval, which is corrected for bias and skewness.
   *
   * @param sample one value per resampled unit, such as a sequence or a latent
   * @throws IllegalArgumentException if the sample is empty or a number is out of range
   */
  public static BootstrapInterval ofMean(double[] sample, int resamples, double level, long seed) {
    return of(Bca.ofMean(sample, resamples, Bootstrap.random(Purpose.BOOTSTRAP, seed)), level);
  }

  private static BootstrapInterval of(Bca statistic, double level) {
    double[] ends = statistic.ends(level);
    return new BootstrapInterval(
        statistic.estimate(), ends[0], ends[1], level, statistic.resamples());
  }

  /**
   * Two groups compared.
   *
   * @param first the statistic of the first group
   * @param second the statistic of the second group
   * @param difference first − second, with its interval
   * @param pValue two-sided: the largest 1 − level at which the interval still contains 0, so that
   *     it is below 1 − level exactly when the interval excludes 0
   */
  public record Difference(
      double first, double second, BootstrapInterval difference, double pValue) {

    /**
     * Compares the means of two independent samples, each resampled on its own: a BCa interval, and
     * a p-value that is below 1 − level exactly when the interval excludes 0.
     *
     * @throws IllegalArgumentException if a sample is empty or a number is out of range
     */
    public static Difference ofMeans(
        double[] first, double[] second, int resamples, double level, long seed) {
      Bca statistic =
          Bca.ofDifference(
              first, second, resamples, Bootstrap.random(Purpose.BOOTSTRAP_DIFFERENCE, seed));
      return new Difference(
          Bootstrap.mean(first), Bootstrap.mean(second), of(statistic, level), statistic.pValue());
    }
  }
}
