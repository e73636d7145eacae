package io.faithfulsae.javabackend.internal;

import java.nio.FloatBuffer;
import org.jspecify.annotations.Nullable;

/**
 * The rows of a training step or of a part of one, copied once. Rows may be longer than their
 * width: see {@link Panels#padded}.
 *
 * @param in what is encoded: rows minus b_dec, where that is subtracted
 * @param raw the rows as given
 * @param target what is to be reconstructed
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
record Batch(float[][] in, float[][] raw, float[][] target) {

  /**
   * Copies rows.
   *
   * @param y null if the rows are their own target
   * @param first row in the buffers
   * @throws IllegalArgumentException if one is not finite, naming its index from {@code first} on
   */
  static Batch of(JavaSae sae, FloatBuffer x, @Nullable FloatBuffer y, int first, int rows) {
    int dIn = sae.shape().dIn();
    int dOut = sae.shape().dOut();
    float[][] raw = copy(sae, x.slice(first * dIn, rows * dIn), dIn, rows, null);
    float[] subtracted = sae.subtracted();
    float[][] in =
        subtracted == null
            ? raw
            : copy(sae, x.slice(first * dIn, rows * dIn), dIn, rows, subtracted);
    float[][] target =
        y == null ? raw : copy(sae, y.slice(first * dOut, rows * dOut), dOut, rows, null);
    return new Batch(in, raw, target);
  }

  private static float[][] copy(
      JavaSae sae, FloatBuffer from, int columns, int rows, float @Nullable [] subtracted) {
    Workers workers = sae.backend.workers();
    Rows.requireFinite(workers, from, rows, columns);
    Rows source = new Rows(from, columns, subtracted);
    float[][] copy = new float[rows][];
    workers.forEachRange(
        rows,
        64,
        (begin, end) -> {
          for (int row = begin; row < end; row++) {
            copy[row] = source.row(row);
          }
        });
    return copy;
  }

  int rows() {
    return in.length;
  }
}
