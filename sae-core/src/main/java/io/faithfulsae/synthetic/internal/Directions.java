package io.faithfulsae.synthetic.internal;

import io.faithfulsae.random.Rng;

/** Unit vectors: random, or spread as evenly as the dimension allows. */
public final class Directions {
  private static final int MOST_ROUNDS = 200;

  /** Convergence threshold: the largest distance that a vector moves in a round. */
  private static final double SETTLED = 1e-7;

  private Directions() {}

  /** Draws vectors uniformly from the unit sphere. */
  public static double[][] random(int count, int dIn, Rng rng) {
    double[][] vectors = new double[count][dIn];
    for (double[] vector : vectors) {
      for (int i = 0; i < dIn; i++) {
        vector[i] = rng.nextGaussian();
      }
      normalize(vector);
    }
    return vectors;
  }

  /**
   * Moves unit vectors until the sum of their squared cosines (the frame potential) is minimal:
   * max(count, count² / dIn), including each vector with itself.
   *
   * <p>With X the vectors as rows, each round computes {@code X − η X XᵀX}, a Newton-Schulz step
   * towards equal singular values, and normalizes the rows.
   *
   * <p><b>Source</b>: alternating projection of Tropp, Dhillon, Heath, Strohmer, "Designing
   * structured tight frames via an alternating projection method", IEEE Trans. Inf. Theory 51
   * (2005); on the absence of worse local optima: Benedetto, Fickus, "Finite normalized tight
   * frames" (2003).
   *
   * @param vectors unit rows. Modified.
   */
  public static void spread(double[][] vectors) {
    int dIn = vectors[0].length;
    // Eigenvalues λ of XᵀX become λ (1 − ηλ)², which is flat where ηλ = 1/3: at their mean.
    double step = 1 / (3 * Math.max(1, (double) vectors.length / dIn));
    double moved = 1;
    for (int round = 0; round < MOST_ROUNDS && moved > SETTLED; round++) {
      double[][] gram = gram(vectors);
      moved = 0;
      for (double[] vector : vectors) {
        moved = Math.max(moved, pull(vector, gram, step));
      }
    }
  }

  private static double[][] gram(double[][] vectors) {
    int dIn = vectors[0].length;
    double[][] gram = new double[dIn][dIn];
    for (double[] vector : vectors) {
      for (int i = 0; i < dIn; i++) {
        double factor = vector[i];
        double[] row = gram[i];
        for (int j = 0; j < dIn; j++) {
          row[j] += factor * vector[j];
        }
      }
    }
    return gram;
  }

  private static double pull(double[] vector, double[][] gram, double step) {
    double[] before = vector.clone();
    for (int i = 0; i < vector.length; i++) {
      double sum = 0;
      for (int j = 0; j < before.length; j++) {
        sum += gram[i][j] * before[j];
      }
      vector[i] -= step * sum;
    }
    normalize(vector);
    double moved = 0;
    for (int i = 0; i < vector.length; i++) {
      moved = Math.max(moved, Math.abs(vector[i] - before[i]));
    }
    return moved;
  }

  static void normalize(double[] vector) {
    double squares = 0;
    for (double value : vector) {
      squares += value * value;
    }
    double norm = Math.sqrt(squares);
    for (int i = 0; i < vector.length; i++) {
      vector[i] /= norm;
    }
  }

  /** Rounds to float32. */
  public static float[][] rounded(double[][] vectors) {
    float[][] rounded = new float[vectors.length][vectors[0].length];
    for (int f = 0; f < rounded.length; f++) {
      for (int i = 0; i < rounded[f].length; i++) {
        rounded[f][i] = (float) vectors[f][i];
      }
    }
    return rounded;
  }
}
