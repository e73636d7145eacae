package io.faithfulsae.javabackend.internal;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Vectors packed for products with many rows: panels of {@link #WIDTH} vectors, transposed, so that
 * the inner loop goes over vectors and needs no sum across lanes. A panel's sums for a block of
 * rows, and {@link #DEPTH} of its elements, fit into the nearest caches.
 *
 * <p>Each product is a sum over elements in order, whatever else is computed with it.
 */
final class Panels {
  static final int WIDTH = 256;
  private static final int DEPTH = 32;

  private final float[][] vectors;
  private final int @Nullable [] chosen;
  private final int count;
  private final int length;
  private final float[][][] panels; // [panel][element, padded to 4][vector]

  /**
   * Takes memory; {@link #pack} fills it.
   *
   * @param length elements of a vector
   * @param chosen the vectors to pack; null for all
   */
  Panels(float[][] vectors, int length, int @Nullable [] chosen) {
    this.vectors = vectors;
    this.chosen = chosen;
    this.count = chosen == null ? vectors.length : chosen.length;
    this.length = length;
    this.panels = new float[(count + WIDTH - 1) / WIDTH][][];
    for (int panel = 0; panel < panels.length; panel++) {
      panels[panel] = new float[padded(length)][Math.min(WIDTH, count - panel * WIDTH)];
    }
  }

  /** Rows to multiply have zeros up to this length. */
  static int padded(int length) {
    return (length + 3) & -4;
  }

  /** The number of vectors. */
  int count() {
    return count;
  }

  long bytes() {
    return (long) Float.BYTES * padded(length) * count;
  }

  /** Copies what the vectors now are. */
  Panels pack(Workers workers) {
    workers.forEach(panels.length, this::pack);
    return this;
  }

  private void pack(int panel) {
    int width = panels[panel][0].length;
    for (int j = 0; j < width; j++) {
      int number = panel * WIDTH + j;
      float[] vector = vectors[chosen == null ? number : chosen[number]];
      for (int i = 0; i < length; i++) {
        panels[panel][i][j] = vector[i];
      }
    }
  }

  /**
   * Computes the products of rows with all vectors.
   *
   * @param x rows of {@code padded(length)} elements
   * @param products {@code [rows, count]}
   */
  void multiply(float[][] x, float[][] products) {
    float[][] sums = new float[x.length][Math.min(WIDTH, count)];
    for (int p = 0; p < panels.length; p++) {
      float[][] panel = panels[p];
      int width = panel[0].length;
      if (width < sums[0].length) {
        sums = new float[x.length][width];
      }
      for (int from = 0; from < panel.length; from += DEPTH) {
        for (int row = 0; row < x.length; row++) {
          add(sums[row], panel, x[row], from, Math.min(panel.length, from + DEPTH));
        }
      }
      for (int row = 0; row < x.length; row++) {
        System.arraycopy(sums[row], 0, products[row], p * WIDTH, width);
        Arrays.fill(sums[row], 0);
      }
    }
  }

  private static void add(float[] sums, float[][] panel, float[] x, int from, int to) {
    for (int i = from; i < to; i += 4) {
      Vectors.add(
          sums,
          x[i],
          panel[i],
          x[i + 1],
          panel[i + 1],
          x[i + 2],
          panel[i + 2],
          x[i + 3],
          panel[i + 3]);
    }
  }

  /** Where the rows of a product come from; called by many threads. */
  @FunctionalInterface
  interface Rows {
    /** A row of {@code padded(length)} elements, which is only read. */
    float[] row(int row);
  }

  /** What is done with a row's products; called by many threads, once for each row. */
  @FunctionalInterface
  interface Use {
    /**
     * @param products may be changed
     */
    void accept(int row, float[] products);
  }

  /** Multiplies rows a block at a time, on all threads. */
  void forEachRow(Workers workers, int rows, Rows x, Use use) {
    // At most 16 MiB of products; few rows are shared out one by one.
    int most = Math.min(32, (1 << 22) / count);
    int block = Math.max(1, Math.min(most, rows / workers.threads()));
    workers.forEachRange(
        rows,
        block,
        (first, end) -> {
          float[][] in = new float[end - first][];
          for (int row = first; row < end; row++) {
            in[row - first] = x.row(row);
          }
          float[][] products = new float[end - first][count];
          multiply(in, products);
          for (int row = first; row < end; row++) {
            use.accept(row, products[row - first]);
          }
        });
  }
}
