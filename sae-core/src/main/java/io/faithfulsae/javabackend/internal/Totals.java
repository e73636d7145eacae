package io.faithfulsae.javabackend.internal;

/** What is summed over the parts of a step besides gradients; losses are weighted by rows. */
final class Totals {
  final boolean[] fired;
  long rows;
  double reconstruction;
  double aux;
  double least = Double.POSITIVE_INFINITY; // of the values kept, as they are compared
  long active;
  double squaredError;
  double variance;

  Totals(int dSae) {
    this.fired = new boolean[dSae];
  }

  void add(Totals other) {
    for (int j = 0; j < fired.length; j++) {
      fired[j] |= other.fired[j];
    }
    rows += other.rows;
    reconstruction += other.reconstruction;
    aux += other.aux;
    least = Math.min(least, other.least);
    active += other.active;
    squaredError += other.squaredError;
    variance += other.variance;
  }

  /** Counts what a part's encoder kept. */
  void count(Kept kept, float[] rank) {
    rows += kept.rows();
    for (int row = 0; row < kept.rows(); row++) {
      int[] index = kept.indices[row];
      active += index.length;
      for (int i = 0; i < index.length; i++) {
        fired[index[i]] = true;
        least = Math.min(least, (double) kept.values[row][i] * rank[index[i]]);
      }
    }
  }

  /** A ratio over no variance counts as 0. */
  static double inverse(double denominator) {
    return denominator == 0 ? 0 : 1 / denominator;
  }
}
