package io.faithfulsae;

import io.faithfulsae.internal.RowNormalizer;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;

/**
 * The active latents of encoded rows, in a backend's memory: for each row k pairs of latent index
 * and value.
 *
 * <p><b>Order and ties</b>: value descending, then lower latent index, the same on each backend. A
 * row with fewer than k positive latents is filled up with value 0. <b>Closed by</b> who allocated
 * it. <b>Threads</b>: one at a time.
 */
public final class Latents implements AutoCloseable {
  private final DeviceBuffer indices;
  private final DeviceBuffer values;
  private final int capacity;
  private final int k;
  private final RowNormalizer.Undo undo;
  private int rows;

  private Latents(DeviceBuffer indices, DeviceBuffer values, int capacity, int k) {
    this.indices = indices;
    this.values = values;
    this.capacity = capacity;
    this.k = k;
    this.undo = new RowNormalizer.Undo();
  }

  /**
   * Allocates room for encoded rows.
   *
   * @param on the backend that will use it
   * @param capacity the most rows it can hold, at least 1
   * @param k active latents a row, at least 1; may differ from the SAE's own k
   * @throws IllegalArgumentException if a size is below 1 or the block is larger than 2 GiB
   */
  public static Latents allocate(Backend on, int capacity, int k) {
    long bytes = BackendChecks.blockBytes(capacity, "k", k);
    DeviceBuffer indices = on.allocate(bytes);
    try {
      return new Latents(indices, on.allocate(bytes), capacity, k);
    } catch (RuntimeException e) {
      indices.close();
      throw e;
    }
  }

  /** Rows that are filled. */
  public int rows() {
    return rows;
  }

  /**
   * Says how many rows are filled, after writing to {@link #indices()} and {@link #values()}.
   *
   * @throws IllegalArgumentException if not in [0, capacity]
   */
  public void rows(int filled) {
    this.rows = BackendChecks.filled(filled, capacity);
  }

  /** The most rows it can hold. */
  public int capacity() {
    return capacity;
  }

  /** Active latents a row. */
  public int k() {
    return k;
  }

  /**
   * Latent numbers {@code [capacity, k]}, position 0; a fresh view of the same memory. One that is
   * kept after close may be used without harm, as {@link ActivationBatch#data()} says.
   *
   * @throws IllegalStateException after close
   */
  public IntBuffer indices() {
    return indices.host().asIntBuffer();
  }

  /**
   * Values {@code [capacity, k]}, at least 0, position 0; a fresh view of the same memory. One that
   * is kept after close may be used without harm, as {@link ActivationBatch#data()} says.
   *
   * @throws IllegalStateException after close
   */
  public FloatBuffer values() {
    return values.host().asFloatBuffer();
  }

  /** The backend's handle on {@link #indices()}. */
  public DeviceBuffer indexBuffer() {
    return indices;
  }

  /** The backend's handle on {@link #values()}. */
  public DeviceBuffer valueBuffer() {
    return values;
  }

  /** Copies the first latents of each row, as many as {@code into} has room for. */
  void copyFirst(Latents into) {
    if (into.k > k || into.capacity < rows) {
      throw new IllegalArgumentException(
          "expected latents of k <= "
              + k
              + " and room for "
              + rows
              + " rows, got ["
              + into.capacity
              + ", "
              + into.k
              + "]; encode with a larger k, or allocate more rows");
    }
    try (DeviceBuffer.Loan fromIndices = indices.lend();
        DeviceBuffer.Loan fromValues = values.lend();
        DeviceBuffer.Loan toIndices = into.indices.lend();
        DeviceBuffer.Loan toValues = into.values.lend()) {
      copyRows(fromIndices.ints(), toIndices.ints(), into.k);
      copyRows(fromValues.floats(), toValues.floats(), into.k);
    }
    into.rows(rows);
    into.undo.copy(undo);
  }

  private void copyRows(IntBuffer from, IntBuffer to, int width) {
    for (int row = 0; row < rows; row++) {
      to.put(row * width, from, row * k, width);
    }
  }

  private void copyRows(FloatBuffer from, FloatBuffer to, int width) {
    for (int row = 0; row < rows; row++) {
      to.put(row * width, from, row * k, width);
    }
  }

  /**
   * What the normalisation of the SAE's input multiplies the decoded row by when it is undone; 1
   * where the SAE does not normalise rows.
   */
  public double scale(int row) {
    return undo.scale(row);
  }

  /** What decoding needs to undo the normalisation of the rows that were encoded. */
  RowNormalizer.Undo undo() {
    return undo;
  }

  @Override
  public void close() {
    values.close();
    indices.close();
  }
}
