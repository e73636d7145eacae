package io.faithfulsae.javabackend.internal;

/** The latents that an encoder keeps, by row; rows may differ in their number. None is 0. */
final class Kept {
  final int[][] indices;
  final float[][] values;

  Kept(int rows) {
    this.indices = new int[rows][];
    this.values = new float[rows][];
  }

  int rows() {
    return indices.length;
  }

  /** Sets a row to latents and their values in {@code z}; those whose value is 0 are left out. */
  void set(int row, int[] latents, float[] z) {
    int n = 0;
    for (int latent : latents) {
      n += z[latent] != 0 ? 1 : 0;
    }
    int[] index = new int[n];
    float[] value = new float[n];
    int at = 0;
    for (int latent : latents) {
      if (z[latent] != 0) {
        index[at] = latent;
        value[at++] = z[latent];
      }
    }
    indices[row] = index;
    values[row] = value;
  }
}
