package io.faithfulsae.internal.metrics;

import io.faithfulsae.internal.Rng;
import io.faithfulsae.internal.Rng.Purpose;
import io.faithfulsae.metrics.BootstrapInterval;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.apache.commons.math3.distribution.BinomialDistribution;
import org.apache.commons.math3.random.RandomGenerator;
import org.apache.commons.math3.stat.descriptive.rank.Percentile;
import org.apache.commons.math3.stat.descriptive.rank.Percentile.EstimationType;

/**
 * Percentile bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13).
 */
public final class Bootstrap {
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
              + "; mend: measure something first");
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

  /** The interval between the percentiles of resampled statistics, interpolated as numpy does. */
  public static BootstrapInterval interval(double estimate, double[] resampled, double level) {
    if (!(level > 0 && level < 1)) {
      throw new IllegalArgumentException(
          "expected a level in (0, 1), got " + level + "; mend: 0.95 is usual");
    }
    Percentile percentile = new Percentile().withEstimationType(EstimationType.R_7);
    percentile.setData(resampled);
    double tail = (1 - level) / 2 * 100;
    return new BootstrapInterval(
        estimate,
        percentile.evaluate(tail),
        percentile.evaluate(100 - tail),
        level,
        resampled.length);
  }

  /** Compares two statistics by the resamples of each, of equal number. */
  public static BootstrapInterval.Difference difference(
      double first,
      double[] firstResampled,
      double second,
      double[] secondResampled,
      double level) {
    int resamples = firstResampled.length;
    double[] differences = new double[resamples];
    int notAbove = 0;
    int notBelow = 0;
    for (int b = 0; b < resamples; b++) {
      differences[b] = firstResampled[b] - secondResampled[b];
      notAbove += differences[b] <= 0 ? 1 : 0;
      notBelow += differences[b] >= 0 ? 1 : 0;
    }
    double tail = (Math.min(notAbove, notBelow) + 1.0) / (resamples + 1.0);
    return new BootstrapInterval.Difference(
        first, second, interval(first - second, differences, level), Math.min(1, 2 * tail));
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
