package io.faithfulsae.javabackend.internal;

import java.util.function.ToDoubleFunction;

/**
 * Sums over the rows of a batch, in double precision: of blocks of a fixed number of rows, which
 * are then added in order, so that a sum does not depend on threads.
 */
final class RowSums {
  private static final int BLOCK = 64;

  private RowSums() {}

  /** The sum of a number per row. */
  static double of(Workers workers, float[][] rows, ToDoubleFunction<float[]> term) {
    double[] blocks = new double[(rows.length + BLOCK - 1) / BLOCK];
    workers.forEachRange(
        rows.length,
        BLOCK,
        (first, end) -> {
          double sum = 0;
          for (int row = first; row < end; row++) {
            sum += term.applyAsDouble(rows[row]);
          }
          blocks[first / BLOCK] = sum;
        });
    double sum = 0;
    for (double block : blocks) {
      sum += block;
    }
    return sum;
  }

  /** The sum of each of the first {@code columns} columns. */
  static double[] ofColumns(Workers workers, float[][] rows, int columns) {
    double[][] blocks = new double[(rows.length + BLOCK - 1) / BLOCK][columns];
    workers.forEachRange(
        rows.length,
        BLOCK,
        (first, end) -> {
          for (int row = first; row < end; row++) {
            Vectors.add(blocks[first / BLOCK], rows[row]);
          }
        });
    double[] sum = new double[columns];
    for (double[] block : blocks) {
      for (int i = 0; i < columns; i++) {
        sum[i] += block[i];
      }
    }
    return sum;
  }

  /** Σ over rows and columns of (value − mean of its column)². */
  static double squaresAboutMean(Workers workers, float[][] rows, int columns) {
    double[] mean = ofColumns(workers, rows, columns);
    for (int i = 0; i < columns; i++) {
      mean[i] /= rows.length;
    }
    return of(
        workers,
        rows,
        row -> {
          double sum = 0;
          for (int i = 0; i < columns; i++) {
            double off = row[i] - mean[i];
            sum += off * off;
          }
          return sum;
        });
  }
}
