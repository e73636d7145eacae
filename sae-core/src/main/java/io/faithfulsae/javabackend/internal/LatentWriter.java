package io.faithfulsae.javabackend.internal;

import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Arrays;

/** Copies latents to a caller's buffers. */
final class LatentWriter {
  private LatentWriter() {}

  /** Rows of k: those with fewer get zeros at the lowest indices that they do not use. */
  static void rowsOfK(Kept kept, int k, IntBuffer indices, FloatBuffer values) {
    for (int row = 0; row < kept.rows(); row++) {
      int[] index = kept.indices[row];
      int n = index.length;
      if (n < k) {
        index = padded(index, k);
      }
      indices.put(row * k, index);
      values.put(row * k, Arrays.copyOf(kept.values[row], k));
    }
  }

  private static int[] padded(int[] index, int k) {
    int[] used = index.clone();
    Arrays.sort(used);
    int[] padded = Arrays.copyOf(index, k);
    int at = index.length;
    int next = 0; // in used
    for (int latent = 0; at < k; latent++) {
      if (next < used.length && used[next] == latent) {
        next++;
      } else {
        padded[at++] = latent;
      }
    }
    return padded;
  }

  static void ragged(Kept kept, IntBuffer offsets, IntBuffer indices, FloatBuffer values) {
    int at = 0;
    for (int row = 0; row < kept.rows(); row++) {
      offsets.put(row, at);
      indices.put(at, kept.indices[row]);
      values.put(at, kept.values[row]);
      at += kept.indices[row].length;
    }
    offsets.put(kept.rows(), at);
  }
}
