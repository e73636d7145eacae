package io.faithfulsae.javabackend.internal;

import io.faithfulsae.io.Expected;
import java.nio.FloatBuffer;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * Rows of activations in a caller's buffer, read one by one.
 *
 * @param data {@code [rows, columns]}
 * @param subtracted what is subtracted from each; null for nothing
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
record Rows(FloatBuffer data, int columns, float @Nullable [] subtracted) implements Panels.Rows {

  @Override
  public float[] row(int row) {
    float[] x = JavaBackend.row(data, row, columns);
    if (subtracted != null) {
      for (int i = 0; i < subtracted.length; i++) {
        x[i] -= subtracted[i];
      }
    }
    return x;
  }

  /**
   * Checks that all elements are finite.
   *
   * @throws IllegalArgumentException naming the first row with one that is not
   */
  static void requireFinite(Workers workers, FloatBuffer x, int rows, int columns) {
    AtomicInteger first = new AtomicInteger(rows);
    workers.forEachRange(
        rows,
        64,
        (begin, end) -> {
          float[] row = new float[columns];
          for (int r = begin; r < end; r++) {
            x.get(r * columns, row);
            if (!Float.isFinite(sumOfZeros(row))) {
              first.accumulateAndGet(r, Math::min);
              return;
            }
          }
        });
    int row = first.get();
    for (int i = 0; row < rows && i < columns; i++) {
      float value = x.get(row * columns + i);
      if (!Float.isFinite(value)) {
        throw new IllegalArgumentException(
            Expected.message(
                "finite activations", value + " in row " + row + " of " + rows, "drop that row"));
      }
    }
  }

  /** 0 if all are finite, otherwise NaN. */
  private static float sumOfZeros(float[] x) {
    float sum = 0;
    for (float value : x) {
      sum += value * 0;
    }
    return sum;
  }
}
