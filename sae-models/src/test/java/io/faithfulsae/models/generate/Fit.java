package io.faithfulsae.models.generate;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.apache.commons.math3.distribution.ChiSquaredDistribution;
import org.apache.commons.math3.linear.Array2DRowRealMatrix;
import org.apache.commons.math3.linear.CholeskyDecomposition;

/** Pearson's chi-squared test of counts against a distribution, and related tests. */
final class Fit {
  private static final double LEAST_EXPECTED = 10;

  private Fit() {}

  /**
   * P-value of counts under given probabilities. Categories with few expected counts are merged.
   *
   * @throws AssertionError if an impossible category was observed
   */
  static double pValue(int[] counts, double[] probabilities) {
    int n = Arrays.stream(counts).sum();
    double statistic = 0;
    int categories = 0;
    double restSeen = 0;
    double restExpected = 0;
    for (int i = 0; i < counts.length; i++) {
      double expected = n * probabilities[i];
      assertTrue(counts[i] == 0 || expected > 0, "category " + i + " has no probability");
      if (expected >= LEAST_EXPECTED) {
        statistic += Math.pow(counts[i] - expected, 2) / expected;
        categories++;
      } else {
        restSeen += counts[i];
        restExpected += expected;
      }
    }
    if (restExpected >= 1) {
      statistic += Math.pow(restSeen - restExpected, 2) / restExpected;
      categories++;
    }
    return upperTail(statistic, categories - 1);
  }

  /**
   * P-value of sums of indicators, each with its own probabilities.
   *
   * @param difference observed minus expected, per category
   * @param covariance of the counts; a category whose variance is small is merged into the last
   */
  static double pValue(double[] difference, double[][] covariance) {
    int[] kept = new int[difference.length];
    int count = 0;
    for (int i = 0; i < difference.length; i++) {
      if (covariance[i][i] >= LEAST_EXPECTED) {
        kept[count++] = i;
      }
    }
    if (count == difference.length) {
      count--; // the total has no variance
    }
    double[][] some = new double[count][count];
    double[] of = new double[count];
    for (int i = 0; i < count; i++) {
      of[i] = difference[kept[i]];
      for (int j = 0; j < count; j++) {
        some[i][j] = covariance[kept[i]][kept[j]];
      }
    }
    double[] solved =
        new CholeskyDecomposition(new Array2DRowRealMatrix(some, false))
            .getSolver()
            .solve(new Array2DRowRealMatrix(of))
            .getColumn(0);
    double statistic = 0;
    for (int i = 0; i < count; i++) {
      statistic += of[i] * solved[i];
    }
    return upperTail(statistic, count);
  }

  private static double upperTail(double statistic, int freedom) {
    return 1 - new ChiSquaredDistribution(null, freedom).cumulativeProbability(statistic);
  }

  /** How far the number of distinct categories is from its mean, in standard deviations. */
  static double distinctDeviation(int distinct, double[] probabilities, int n) {
    double mean = 0;
    double variance = 0;
    for (int i = 0; i < probabilities.length; i++) {
      double missing = Math.pow(1 - probabilities[i], n);
      mean += 1 - missing;
      variance += missing * (1 - missing);
      for (int j = 0; j < i; j++) {
        double both = Math.pow(Math.max(0, 1 - probabilities[i] - probabilities[j]), n);
        variance += 2 * (both - missing * Math.pow(1 - probabilities[j], n));
      }
    }
    return (distinct - mean) / Math.sqrt(Math.max(variance, 0.25));
  }
}
