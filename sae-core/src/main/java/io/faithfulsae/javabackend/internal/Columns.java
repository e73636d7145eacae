package io.faithfulsae.javabackend.internal;

/**
 * The active latents of a batch by latent: for latent j the entries {@code [starts[j], starts[j +
 * 1])}, in order of rows. A latent's gradient is a sum over its entries.
 */
final class Columns {
  final int[] starts;
  final int[] rows;
  final float[] values;

  /**
   * @param lists no latent is in more than one of them
   */
  Columns(int dSae, Iterable<Kept> lists) {
    this.starts = new int[dSae + 1];
    for (Kept kept : lists) {
      for (int[] row : kept.indices) {
        for (int latent : row) {
          starts[latent + 1]++;
        }
      }
    }
    for (int j = 0; j < dSae; j++) {
      starts[j + 1] = Math.addExact(starts[j], starts[j + 1]);
    }
    this.rows = new int[starts[dSae]];
    this.values = new float[starts[dSae]];
    int[] next = starts.clone();
    for (Kept kept : lists) {
      for (int row = 0; row < kept.rows(); row++) {
        int[] index = kept.indices[row];
        for (int i = 0; i < index.length; i++) {
          int at = next[index[i]]++;
          rows[at] = row;
          values[at] = kept.values[row][i];
        }
      }
    }
  }
}
