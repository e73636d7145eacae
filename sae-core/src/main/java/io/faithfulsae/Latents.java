package io.faithfulsae;

import io.faithfulsae.internal.RowNormalizer;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * The active latents of encoded rows, in a backend's memory: for each row, k pairs of latent index
 * and value.
 *
 * <p><b>Order and ties</b>: by value, descending, then by latent index, ascending; the same on
 * every backend. A row with fewer than k positive latents is padded with value 0. <b>Closed by</b>
 * whoever allocated it. <b>Threads</b>: one at a time.
 */
public final class Latents implements AutoCloseable {
  /**
   * A latent that fires on a row.
   *
   * @param latent its index in [0, dSae)
   * @param value its activation, above 0
   */
  public record Active(int latent, float value) {
    /** As in {@code 312 (4.5)}. */
    @Override
    public String toString() {
      return String.format(Locale.ROOT, "%d (%.1f)", latent, value);
    }
  }

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
   * Allocates space for encoded rows.
   *
   * @param on the backend that will use it
   * @param capacity the most rows it can hold, at least 1
   * @param k active latents per row, at least 1; may differ from the SAE's own k
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

  /** Number of filled rows. */
  public int rows() {
    return rows;
  }

  /**
   * Sets the number of filled rows, after writing to {@link #indices()} and {@link #values()}.
   *
   * @throws IllegalArgumentException if not in [0, capacity]
   */
  public void rows(int filled) {
    this.rows = BackendChecks.filled(filled, capacity);
  }

  /** Sets a number of filled rows that was checked against the capacity. */
  void filled(int checked) {
    this.rows = checked;
  }

  /** The most rows it can hold. */
  public int capacity() {
    return capacity;
  }

  /** Active latents per row. */
  public int k() {
    return k;
  }

  /**
   * Latent indices {@code [capacity, k]}, position 0; a fresh view of the same memory. Views are
   * safe to use after close, as for {@link ActivationBatch#data()}.
   *
   * @throws IllegalStateException after close
   */
  public IntBuffer indices() {
    return indices.host().asIntBuffer();
  }

  /**
   * Values {@code [capacity, k]}, at least 0, position 0; a fresh view of the same memory. Views
   * are safe to use after close, as for {@link ActivationBatch#data()}.
   *
   * @throws IllegalStateException after close
   */
  public FloatBuffer values() {
    return values.host().asFloatBuffer();
  }

  /**
   * Copies the latents that fire on a row, the strongest first. For reading a few rows; for many,
   * read {@link #indices()} and {@link #values()}.
   *
   * @throws IllegalArgumentException if the row is not in [0, {@link #rows()})
   * @throws IllegalStateException after close
   */
  public List<Active> active(int row) {
    if (row < 0 || row >= rows) {
      throw new IllegalArgumentException(
          Expected.message("a row in [0, " + rows + ")", row, "use a row that was encoded"));
    }
    IntBuffer index = indices();
    FloatBuffer value = values();
    List<Active> active = new ArrayList<>();
    for (int at = row * k; at < (row + 1) * k && value.get(at) > 0; at++) {
      active.add(new Active(index.get(at), value.get(at)));
    }
    return List.copyOf(active);
  }

  /** The backend's handle to {@link #indices()}. */
  public DeviceBuffer indexBuffer() {
    return indices;
  }

  /** The backend's handle to {@link #values()}. */
  public DeviceBuffer valueBuffer() {
    return values;
  }

  /** Copies the first {@code into.k()} latents of each row. */
  void copyFirst(Latents into) {
    if (into.k > k || into.capacity < rows) {
      throw new IllegalArgumentException(
          Expected.message(
              "latents of k <= " + k + " and room for " + rows + " rows",
              "[" + into.capacity + ", " + into.k + "]",
              "encode with a larger k, or allocate more rows"));
    }
    try (DeviceBuffer.Loan fromIndices = indices.lend();
        DeviceBuffer.Loan fromValues = values.lend();
        DeviceBuffer.Loan toIndices = into.indices.lend();
        DeviceBuffer.Loan toValues = into.values.lend()) {
      copyRows(fromIndices.ints(), toIndices.ints(), into.k);
      copyRows(fromValues.floats(), toValues.floats(), into.k);
    }
    into.filled(rows);
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
   * The factor by which undoing the input normalization multiplies the decoded row; 1 if the SAE
   * does not normalize rows.
   */
  public double scale(int row) {
    return undo.scale(row);
  }

  /** What decoding needs to undo the normalization of the encoded rows. */
  RowNormalizer.Undo undo() {
    return undo;
  }

  @Override
  public void close() {
    values.close();
    indices.close();
  }
}
