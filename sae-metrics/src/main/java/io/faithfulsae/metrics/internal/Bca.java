package io.faithfulsae.metrics.internal;

import java.util.Arrays;
import org.apache.commons.math3.random.RandomGenerator;
import org.apache.commons.math3.stat.descriptive.rank.Percentile;
import org.apache.commons.math3.stat.descriptive.rank.Percentile.EstimationType;

/**
 * Bias-corrected and accelerated bootstrap (BCa; Efron, "Better Bootstrap Confidence Intervals",
 * 1987; Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 14), computed as
 * SciPy's {@code bootstrap} does.
 *
 * <p>Plain percentiles of the resamples may exclude the estimate when resampling is biased. BCa
 * measures the bias by the share of resamples below the estimate and shifts both percentiles by
 * twice that, so that the interval contains the estimate unless more than 97.5 % of the resamples
 * (for a 95 % interval) lie on one side of it. That can happen for shares above a threshold, which
 * have intervals of their own: {@link ShareInterval}.
 */
public final class Bca {
  private final double estimate;
  private final double[] resampled;
  private final double acceleration;

  /**
   * Creates the bootstrap of a statistic.
   *
   * @param estimate the statistic on the whole sample
   * @param resampled the statistic on each resample
   * @param acceleration of the statistic; 0 corrects for bias alone
   */
  public Bca(double estimate, double[] resampled, double acceleration) {
    this.estimate = estimate;
    this.resampled = resampled;
    this.acceleration = acceleration;
  }

  /** Bootstraps the mean of a sample. */
  public static Bca ofMean(double[] sample, int resamples, RandomGenerator random) {
    double[] means = Bootstrap.means(sample, resamples, random);
    return new Bca(Bootstrap.mean(sample), means, acceleration(influences(sample)));
  }

  /**
   * Bootstraps the difference between the means of two independent samples, each resampled on its
   * own.
   */
  public static Bca ofDifference(
      double[] first, double[] second, int resamples, RandomGenerator random) {
    double[] differences = Bootstrap.means(first, resamples, random);
    double[] others = Bootstrap.means(second, resamples, random);
    for (int b = 0; b < resamples; b++) {
      differences[b] -= others[b];
    }
    double[] negated = Arrays.stream(influences(second)).map(u -> -u).toArray();
    return new Bca(
        Bootstrap.mean(first) - Bootstrap.mean(second),
        differences,
        acceleration(influences(first), negated));
  }

  /** The influence of each value on the mean of a sample, for {@link #acceleration}. */
  private static double[] influences(double[] sample) {
    double mean = Bootstrap.mean(sample);
    // Rounding errors of equal values would look like skewness.
    double rounding = 1e-13 * Arrays.stream(sample).map(Math::abs).max().orElse(0);
    return Arrays.stream(sample)
        .map(value -> Math.abs(value - mean) > rounding ? value - mean : 0)
        .toArray();
  }

  /**
   * The acceleration of BCa: a sixth of the skewness of a statistic.
   *
   * @param influences one array per sample, with the influence of each of its n values: (n − 1)
   *     times the drop of the statistic when the value is left out, centered at 0. For a
   *     difference, the second sample's are negated
   */
  public static double acceleration(double[]... influences) {
    double cubes = 0;
    double squares = 0;
    for (double[] sample : influences) {
      double n = sample.length;
      for (double u : sample) {
        cubes += u * u * u / (n * n * n);
        squares += u * u / (n * n);
      }
    }
    return squares == 0 ? 0 : cubes / Math.pow(squares, 1.5) / 6;
  }

  /** The statistic on the whole sample. */
  public double estimate() {
    return estimate;
  }

  /** Number of resamples. */
  public int resamples() {
    return resampled.length;
  }

  /**
   * Both ends of the interval, the lower one first.
   *
   * @throws IllegalArgumentException if the level is out of range
   */
  public double[] ends(double level) {
    Bootstrap.requireLevel(level);
    Percentile percentile = new Percentile().withEstimationType(EstimationType.R_7);
    percentile.setData(resampled);
    double bias = Bootstrap.normalQuantile(shareBelow(estimate));
    double[] ends = new double[2];
    for (int end = 0; end < 2; end++) {
      double z = bias + Bootstrap.normalQuantile(end == 0 ? (1 - level) / 2 : (1 + level) / 2);
      double moved = bias + z / Math.max(1e-9, 1 - acceleration * z);
      ends[end] = percentile.evaluate(Math.max(1e-9, 100 * Bootstrap.normalProbability(moved)));
    }
    return ends;
  }

  /**
   * The largest 1 − level at which the interval still contains 0: a two-sided p-value that is below
   * 1 − level exactly when the interval excludes 0.
   */
  public double pValue() {
    double bias = Bootstrap.normalQuantile(shareBelow(estimate));
    double w = Bootstrap.normalQuantile(shareBelow(0)) - bias;
    double z = w / (1 + acceleration * w) - bias;
    return Math.min(1, 2 * Bootstrap.normalProbability(-Math.abs(z)));
  }

  /**
   * The share of resamples below a value, ties counting half; clipped away from 0 and 1, which a
   * finite number of resamples cannot establish.
   */
  private double shareBelow(double value) {
    long twice = 0;
    for (double each : resampled) {
      twice += each < value ? 2 : each == value ? 1 : 0;
    }
    double min = 1.0 / (resampled.length + 1);
    return Math.max(min, Math.min(1 - min, 0.5 * twice / resampled.length));
  }
}
