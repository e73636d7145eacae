package io.faithfulsae.metrics.internal;

import java.util.Arrays;
import java.util.Comparator;
import org.apache.commons.math3.special.Erf;

/**
 * The two-sided Mann-Whitney test of two samples of ordered levels, with the normal approximation,
 * corrected for ties and continuity, as in SciPy's {@code mannwhitneyu(method='asymptotic')}.
 *
 * <p><b>Source</b>: Mann and Whitney, "On a Test of Whether one of Two Random Variables is
 * Stochastically Larger than the Other", 1947; ties as in Hollander and Wolfe, "Nonparametric
 * Statistical Methods", ch. 4.
 *
 * @param auc share of the pairs in which the first is larger, ties counting half: U / (n₁ n₂); 0.5
 *     if a sample is empty
 * @param pValue 1 if all values are tied or a sample is empty
 */
record MannWhitney(double auc, double pValue) {

  /**
   * Tests two samples.
   *
   * @param first number of values of the first sample at each level, ascending
   * @param second the same for the second sample
   */
  static MannWhitney test(long[] first, long[] second) {
    double n1 = 0;
    double n2 = 0;
    double wins = 0;
    double ties = 0;
    for (int level = 0; level < first.length; level++) {
      double tied = (double) first[level] + second[level];
      wins += first[level] * (n2 + second[level] / 2.0);
      ties += tied * tied * tied - tied;
      n1 += first[level];
      n2 += second[level];
    }
    double n = n1 + n2;
    if (n1 == 0 || n2 == 0) {
      return new MannWhitney(0.5, 1);
    }
    double variance = n1 * n2 / 12 * (n + 1 - ties / (n * (n - 1)));
    double distance = Math.abs(wins - n1 * n2 / 2) - 0.5;
    double p = variance > 0 ? Math.min(1, twoSided(distance / Math.sqrt(variance))) : 1;
    return new MannWhitney(wins / (n1 * n2), p);
  }

  /** Twice the upper tail of the standard normal distribution. */
  static double twoSided(double z) {
    return Erf.erfc(z / Math.sqrt(2));
  }

  /**
   * Benjamini and Hochberg's adjusted p-values ("Controlling the False Discovery Rate", 1995):
   * rejecting all hypotheses with an adjusted p-value of at most q keeps the expected share of
   * false rejections at or below q.
   */
  static double[] adjusted(double[] pValues) {
    Integer[] order = new Integer[pValues.length];
    for (int i = 0; i < order.length; i++) {
      order[i] = i;
    }
    Arrays.sort(order, Comparator.comparingDouble(i -> pValues[i]));
    double[] adjusted = new double[pValues.length];
    double least = 1;
    for (int rank = order.length; rank >= 1; rank--) {
      int at = order[rank - 1];
      least = Math.min(least, pValues[at] * order.length / rank);
      adjusted[at] = least;
    }
    return adjusted;
  }
}
