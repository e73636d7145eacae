package io.faithfulsae.metrics.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.apache.commons.math3.distribution.BinomialDistribution;
import org.apache.commons.math3.distribution.NormalDistribution;
import org.apache.commons.math3.random.RandomGenerator;

/** Bootstrap resampling; the random numbers depend on the seed alone. */
public final class Bootstrap {
  private static final NormalDistribution NORMAL = new NormalDistribution(null, 0, 1);

  private Bootstrap() {}

  /** A generator whose numbers depend on the seed alone. */
  public static RandomGenerator random(long seed) {
    return random(Purpose.BOOTSTRAP, seed);
  }

  /** A generator whose numbers depend on the seed alone and are independent of other purposes'. */
  public static RandomGenerator random(Purpose purpose, long seed) {
    return new Rng(purpose, seed).asRandomGenerator();
  }

  /** Means of samples drawn with replacement from a sample. */
  public static double[] means(double[] sample, int resamples, RandomGenerator random) {
    if (sample.length == 0 || resamples < 1) {
      throw new IllegalArgumentException(
          Expected.message(
              "at least one value and one resample",
              sample.length + " and " + resamples,
              "pass a sample, and 1,000 resamples or more"));
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

  /** The mean of a sample, always added in the same order. */
  public static double mean(double[] sample) {
    double sum = 0;
    for (double value : sample) {
      sum += value;
    }
    return sum / sample.length;
  }

  static void requireLevel(double level) {
    if (!(level > 0 && level < 1)) {
      throw new IllegalArgumentException(
          Expected.message("level in (0, 1)", level, "0.95 is common"));
    }
  }

  static double normalQuantile(double share) {
    return NORMAL.inverseCumulativeProbability(share);
  }

  static double normalProbability(double z) {
    return NORMAL.cumulativeProbability(z);
  }

  /**
   * Resamples n items with replacement and counts the hits among them. The count is binomial, so
   * resampling thousands of latents costs one table lookup.
   */
  public static final class Hits {
    private final int n;
    private final RandomGenerator random;
    private final Map<Integer, double[]> cumulative = new HashMap<>();

    /** Resamples n items. */
    public Hits(int n, RandomGenerator random) {
      this.n = n;
      this.random = random;
    }

    /** Draws the number of hits in a resample of a sample that has {@code hits}. */
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
