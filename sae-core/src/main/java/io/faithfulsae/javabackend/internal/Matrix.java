package io.faithfulsae.javabackend.internal;

import java.nio.FloatBuffer;

/** A float32 tensor, each row in an array of its own: any size, and loops without offsets. */
final class Matrix {
  final float[][] rows;
  private final int columns;

  Matrix(int rows, int columns) {
    this.rows = new float[rows][columns];
    this.columns = columns;
  }

  int columns() {
    return columns;
  }

  long bytes() {
    return (long) Float.BYTES * rows.length * columns;
  }

  /** The only row of a vector. */
  float[] vector() {
    return rows[0];
  }

  /** Takes over elements from {@code first} on; the buffer's position does not change. */
  void write(long first, FloatBuffer from) {
    transfer(first, from.duplicate(), true);
  }

  /** Copies elements from {@code first} on; the buffer's position does not change. */
  void read(long first, FloatBuffer into) {
    transfer(first, into.duplicate(), false);
  }

  private void transfer(long first, FloatBuffer host, boolean in) {
    int row = (int) (first / columns);
    int column = (int) (first % columns);
    while (host.hasRemaining()) {
      int n = Math.min(columns - column, host.remaining());
      if (in) {
        host.get(rows[row], column, n);
      } else {
        host.put(rows[row], column, n);
      }
      row++;
      column = 0;
    }
  }

  void copy(Matrix from) {
    for (int row = 0; row < rows.length; row++) {
      System.arraycopy(from.rows[row], 0, rows[row], 0, columns);
    }
  }
}
