package io.faithfulsae.metrics.internal;

import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.apache.commons.math3.distribution.BinomialDistribution;
import org.apache.commons.math3.distribution.NormalDistribution;
import org.apache.commons.math3.random.RandomGenerator;
import org.apache.commons.math3.stat.descriptive.rank.Percentile;
import org.apache.commons.math3.stat.descriptive.rank.Percentile.EstimationType;

/**
 * Bias-corrected and accelerated bootstrap (BCa; Efron, "Better Bootstrap Confidence Intervals",
 * 1987; Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 14), computed as
 * SciPy's {@code bootstrap} does.
 *
 * <p>Percentiles of the resamples alone leave out the estimate where resampling is biased. BCa
 * counts the share of resamples below the estimate and moves both percentiles by twice that, so
 * that it holds the estimate unless more than 97.5 % (of a 95 % interval) of the resamples lie on
 * one side of it. Shares above a threshold, where resampling can do that, have intervals of their
 * own: {@link ShareInterval}.
 */
public final class Bootstrap {
  private static final NormalDistribution NORMAL = new NormalDistribution(null, 0, 1);

  private Bootstrap() {}

  /** A generator whose numbers depend on the seed alone. */
  public static RandomGenerator random(long seed) {
    return random(Purpose.BOOTSTRAP, seed);
  }

  /** A generator whose numbers depend on the seed and are shared with no other purpose. */
  public static RandomGenerator random(Purpose purpose, long seed) {
    return new Rng(purpose, seed).asRandomGenerator();
  }

  /** Means of samples drawn with replacement from a sample. */
  public static double[] means(double[] sample, int resamples, RandomGenerator random) {
    if (sample.length == 0 || resamples < 1) {
      throw new IllegalArgumentException(
          "expected at least one value and one resample, got "
              + sample.length
              + " and "
              + resamples
              + "; measure something first");
    }
    double[] means = new double[resamples];
    for (int b = 0; b < resamples; b++) {
      double sum = 0;
      for (int i = 0; i < sample.length; i++) {
        sum += sample[random.nextInt(sample.length)];
      }
      means[b] = sum / sample.length;
    }
    return means;
  }

  /** The mean of a sample, in the same order of additions wherever it is needed. */
  public static double mean(double[] sample) {
    double sum = 0;
    for (double value : sample) {
      sum += value;
    }
    return sum / sample.length;
  }

  /** The mean of a sample with its BCa interval. */
  public static BootstrapInterval mean(
      double[] sample, int resamples, double level, RandomGenerator random) {
    double[] means = means(sample, resamples, random);
    return interval(mean(sample), means, acceleration(influences(sample)), level);
  }

  /** What each value of a sample adds to its mean: for {@link #acceleration}. */
  static double[] influences(double[] sample) {
    double mean = mean(sample);
    // What rounding leaves of equal values would look like skewness.
    double rounding = 1e-13 * Arrays.stream(sample).map(Math::abs).max().orElse(0);
    return Arrays.stream(sample)
        .map(value -> Math.abs(value - mean) > rounding ? value - mean : 0)
        .toArray();
  }

  /**
   * The acceleration of BCa: a sixth of the skewness of a statistic.
   *
   * @param influences of each sample that the statistic is of, what each thing adds to it: (n − 1)
   *     times what leaving it out takes away, around 0; of a difference, the second with the sign
   *     turned
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

  /**
   * The BCa interval of a statistic.
   *
   * @param acceleration 0 corrects for the bias alone
   */
  public static BootstrapInterval interval(
      double estimate, double[] resampled, double acceleration, double level) {
    requireLevel(level);
    Percentile percentile = new Percentile().withEstimationType(EstimationType.R_7);
    percentile.setData(resampled);
    double bias = normalQuantile(shareBelow(resampled, estimate));
    double[] ends = new double[2];
    for (int end = 0; end < 2; end++) {
      double z = bias + normalQuantile(end == 0 ? (1 - level) / 2 : (1 + level) / 2);
      double moved = bias + z / Math.max(1e-9, 1 - acceleration * z);
      ends[end] = percentile.evaluate(Math.max(1e-9, 100 * NORMAL.cumulativeProbability(moved)));
    }
    return new BootstrapInterval(estimate, ends[0], ends[1], level, resampled.length);
  }

  /**
   * The largest 1 − level at which a BCa interval would still hold 0: a two-sided p-value that is
   * below 1 − level just when the interval leaves out 0.
   */
  static double pValue(double estimate, double[] resampled, double acceleration) {
    double bias = normalQuantile(shareBelow(resampled, estimate));
    double w = normalQuantile(shareBelow(resampled, 0)) - bias;
    double z = w / (1 + acceleration * w) - bias;
    return Math.min(1, 2 * NORMAL.cumulativeProbability(-Math.abs(z)));
  }

  /** With ties half below; never quite 0 or 1, which a finite number of resamples cannot show. */
  private static double shareBelow(double[] resampled, double value) {
    long twice = 0;
    for (double each : resampled) {
      twice += each < value ? 2 : each == value ? 1 : 0;
    }
    double least = 1.0 / (resampled.length + 1);
    return Math.max(least, Math.min(1 - least, 0.5 * twice / resampled.length));
  }

  /** Compares the means of two independent samples, each resampled by itself. */
  public static BootstrapInterval.Difference difference(
      double[] first, double[] second, int resamples, double level, RandomGenerator random) {
    double[] differences = means(first, resamples, random);
    double[] others = means(second, resamples, random);
    for (int b = 0; b < resamples; b++) {
      differences[b] -= others[b];
    }
    double[] turned = Arrays.stream(influences(second)).map(u -> -u).toArray();
    double acceleration = acceleration(influences(first), turned);
    double estimate = mean(first) - mean(second);
    return new BootstrapInterval.Difference(
        mean(first),
        mean(second),
        interval(estimate, differences, acceleration, level),
        pValue(estimate, differences, acceleration));
  }

  static void requireLevel(double level) {
    if (!(level > 0 && level < 1)) {
      throw new IllegalArgumentException(
          "expected a level in (0, 1), got " + level + "; 0.95 is usual");
    }
  }

  static double normalQuantile(double share) {
    return NORMAL.inverseCumulativeProbability(share);
  }

  /**
   * Draws how many of n things that are drawn with replacement from n, of which some are hits, are
   * hits: binomial, so that resampling thousands of latents costs one search in a table.
   */
  public static final class Hits {
    private final int n;
    private final RandomGenerator random;
    private final Map<Integer, double[]> cumulative = new HashMap<>();

    /** Draws from n things. */
    public Hits(int n, RandomGenerator random) {
      this.n = n;
      this.random = random;
    }

    /** Number of hits in a resample, where the sample has {@code hits} of them. */
    public int draw(int hits) {
      double[] table = cumulative.computeIfAbsent(hits, this::table);
      double u = random.nextDouble() * table[n];
      int at = Arrays.binarySearch(table, u);
      // The count is the first whose cumulative probability exceeds u.
      int count = at < 0 ? -at - 1 : at + 1;
      while (count < n && table[count] <= u) {
        count++;
      }
      return Math.min(count, n);
    }

    private double[] table(int hits) {
      BinomialDistribution binomial = new BinomialDistribution(null, n, (double) hits / n);
      double[] table = new double[n + 1];
      double sum = 0;
      for (int count = 0; count <= n; count++) {
        sum += binomial.probability(count);
        table[count] = sum;
      }
      return table;
    }
  }
}
