package io.faithfulsae.metrics.internal;

import io.faithfulsae.metrics.BootstrapInterval;

/**
 * Intervals of the share of latents above a threshold.
 *
 * <p>Resampling such a share is biased: latents near the threshold go over it more often than back,
 * or the other way, so that percentiles of resamples may leave out the estimate, and BCa cannot
 * help where all of them lie on one side. So resamples are only used for the spread that they show
 * around the estimate, their bias counted as spread.
 */
public final class ShareInterval {
  private ShareInterval() {}

  /**
   * Wilson's score interval with an additional variance: all π with (share − π)² ≤ z² (π (1 − π) /
   * latents + variance), within [0, 1]. It holds the share whatever that is, also where it is 0 or
   * 1.
   *
   * <p><b>Source</b>: Wilson, "Probable Inference, the Law of Succession, and Statistical
   * Inference", 1927; the additional term is ours, for what the latents have in common.
   *
   * @param latents that are a sample of those that such training gives
   * @param variance of the share for these very latents, of the sequences that they were seen on
   * @param resamples to be said beside it
   */
  public static BootstrapInterval wilson(
      double share, int latents, double variance, double level, int resamples) {
    Bootstrap.requireLevel(level);
    double z = Bootstrap.normalQuantile((1 + level) / 2);
    double perLatent = z * z / latents;
    double a = 1 + perLatent;
    double b = 2 * share + perLatent;
    double c = share * share - z * z * variance;
    double root = Math.sqrt(Math.max(0, b * b - 4 * a * c));
    // Rounding must not take the share out where it is an end of its own interval.
    return new BootstrapInterval(
        share,
        Math.max(0, Math.min(share, (b - root) / (2 * a))),
        Math.min(1, Math.max(share, (b + root) / (2 * a))),
        level,
        resamples);
  }

  /** Mean of the squared deviations of resamples from the estimate, bias included. */
  static double spread(double estimate, double[] resampled) {
    double sum = 0;
    for (double each : resampled) {
      sum += (each - estimate) * (each - estimate);
    }
    return sum / resampled.length;
  }

  /**
   * The difference of two shares (or means of shares) by the spread of its resamples around it: a
   * normal interval and p-value.
   */
  static BootstrapInterval.Difference difference(
      double first,
      double[] firstResampled,
      double second,
      double[] secondResampled,
      double level) {
    Bootstrap.requireLevel(level);
    double estimate = first - second;
    double[] differences = new double[firstResampled.length];
    for (int b = 0; b < differences.length; b++) {
      differences[b] = firstResampled[b] - secondResampled[b];
    }
    double error = Math.sqrt(spread(estimate, differences));
    double z = Bootstrap.normalQuantile((1 + level) / 2);
    return new BootstrapInterval.Difference(
        first,
        second,
        new BootstrapInterval(
            estimate,
            Math.max(-1, estimate - z * error),
            Math.min(1, estimate + z * error),
            level,
            differences.length),
        estimate == 0 ? 1 : MannWhitney.twoSided(Math.abs(estimate) / error));
  }
}
