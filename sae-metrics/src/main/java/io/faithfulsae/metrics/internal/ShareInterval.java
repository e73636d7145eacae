package io.faithfulsae.metrics.internal;

import io.faithfulsae.metrics.BootstrapInterval;

/**
 * Intervals for the share of latents above a threshold.
 *
 * <p>Resampling such a share is biased: latents near the threshold cross it in one direction more
 * often than in the other, so percentiles of the resamples may exclude the estimate, and BCa cannot
 * help if all of them lie on one side of it. The resamples are therefore used only for their mean
 * squared deviation from the estimate, which includes the bias.
 */
public final class ShareInterval {
  private ShareInterval() {}

  /**
   * Wilson's score interval with an additional variance: all π with (share − π)² ≤ z² (π (1 − π) /
   * latents + variance), within [0, 1]. It always contains the share, even a share of 0 or 1.
   *
   * <p><b>Source</b>: Wilson, "Probable Inference, the Law of Succession, and Statistical
   * Inference", 1927; the additional term is our own, for variation that the latents share.
   *
   * @param latents number of latents, a sample of those that this kind of training produces
   * @param variance variance of the share of these particular latents, over the sequences they were
   *     measured on
   * @param resamples number to report in the result
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
    // Keeps rounding from excluding a share that is an end of its own interval.
    return new BootstrapInterval(
        share,
        Math.max(0, Math.min(share, (b - root) / (2 * a))),
        Math.min(1, Math.max(share, (b + root) / (2 * a))),
        level,
        resamples);
  }

  /** Mean squared deviation of the resamples from the estimate, bias included. */
  static double spread(double estimate, double[] resampled) {
    double sum = 0;
    for (double each : resampled) {
      sum += (each - estimate) * (each - estimate);
    }
    return sum / resampled.length;
  }

  /**
   * The difference of two shares (or means of shares), with a normal interval and p-value from the
   * root mean square deviation of its resamples.
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
