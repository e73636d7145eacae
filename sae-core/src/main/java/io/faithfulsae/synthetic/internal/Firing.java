package io.faithfulsae.synthetic.internal;

import io.faithfulsae.random.Rng;
import org.apache.commons.math3.distribution.NormalDistribution;

/**
 * Which features fire in a row: a Gaussian copula whose correlations are {@code A Aᵀ} off the
 * diagonal, or independent features if A has no columns.
 *
 * <p>Given the shared factors ε, features are independent: f fires with the probability that a
 * standard normal number exceeds {@code (t_f − A_f · ε) / √(1 − |A_f|²)}. So one uniform number per
 * feature is enough, and few of them need the normal distribution function.
 */
public final class Firing {
  /** The minimum share of a feature's variance that is independent, as in SAELens. */
  private static final double LEAST_OWN = 0.01;

  private final double[] probabilities;
  private final double[][] causes; // A: [features][rank]
  private final double[] thresholds;
  private final double[] own; // √(1 − |A_f|²)

  /**
   * Features that fire through the given factors.
   *
   * @param causes <b>Shape</b> {@code [features, rank]}; rank 0 for independence. Kept; rows that
   *     are too long are scaled in place.
   */
  public Firing(double[] probabilities, double[][] causes) {
    this.probabilities = probabilities;
    this.causes = causes;
    this.thresholds = new double[probabilities.length];
    this.own = new double[probabilities.length];
    NormalDistribution normal = new NormalDistribution(null, 0, 1);
    for (int f = 0; f < probabilities.length; f++) {
      thresholds[f] = -normal.inverseCumulativeProbability(probabilities[f]);
      double squares = squares(causes[f]);
      if (1 - squares < LEAST_OWN) {
        double factor = Math.sqrt((1 - LEAST_OWN) / squares);
        for (int r = 0; r < causes[f].length; r++) {
          causes[f][r] *= factor;
        }
        squares = 1 - LEAST_OWN;
      }
      own[f] = Math.sqrt(1 - squares);
    }
  }

  /** Draws factor loadings from N(0, scale²). */
  public static double[][] causes(int features, int rank, double scale, Rng rng) {
    double[][] causes = new double[features][rank];
    for (double[] row : causes) {
      for (int r = 0; r < rank; r++) {
        row[r] = scale * rng.nextGaussian();
      }
    }
    return causes;
  }

  private static double squares(double[] row) {
    double sum = 0;
    for (double a : row) {
      sum += a * a;
    }
    return sum;
  }

  /** Draws the shared factors of a row. */
  public double[] shared(Rng rng) {
    double[] shared = new double[causes[0].length];
    for (int r = 0; r < shared.length; r++) {
      shared[r] = rng.nextGaussian();
    }
    return shared;
  }

  /**
   * Whether a feature fires in a row.
   *
   * @param shared the row's factors
   * @param uniform a number from [0, 1), drawn for this row and feature only
   */
  public boolean fires(int feature, double[] shared, double uniform) {
    if (shared.length == 0) {
      return uniform < probabilities[feature];
    }
    double caused = 0;
    for (int r = 0; r < shared.length; r++) {
      caused += causes[feature][r] * shared[r];
    }
    return NormalTail.isBelow(uniform, (thresholds[feature] - caused) / own[feature]);
  }
}
