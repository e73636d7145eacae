package io.faithfulsae;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.FloatBuffer;

/**
 * Rows of activations in a backend's memory: float32, row-major {@code [capacity, dIn]}, of which
 * the first {@link #rows()} are filled.
 *
 * <p>Fill it with {@link #add}, one row at a time; or, for many rows without a copy on the heap,
 * write to {@link #data()} and say how many they are with {@link #rows(int)}.
 *
 * <p><b>Closed by</b> whoever allocated it. <b>Threads</b>: one at a time.
 */
public final class ActivationBatch implements AutoCloseable {
  private final DeviceBuffer buffer;
  private final int capacity;
  private final int dIn;
  private int rows;

  private ActivationBatch(DeviceBuffer buffer, int capacity, int dIn) {
    this.buffer = buffer;
    this.capacity = capacity;
    this.dIn = dIn;
  }

  /**
   * Allocates an empty batch.
   *
   * @param on the backend that will use it
   * @param capacity the most rows it can hold, at least 1
   * @param dIn width of a row, at least 1
   * @throws IllegalArgumentException if a size is below 1 or the batch is larger than 2 GiB
   */
  public static ActivationBatch allocate(Backend on, int capacity, int dIn) {
    long bytes = BackendChecks.blockBytes(capacity, "dIn", dIn);
    return new ActivationBatch(on.allocate(bytes), capacity, dIn);
  }

  /**
   * Allocates an empty batch in device memory, which the host may be unable to address.
   *
   * @param on the backend that will use it
   * @param capacity the most rows it can hold, at least 1
   * @param dIn width of a row, at least 1
   */
  public static ActivationBatch allocateOnDevice(Backend on, int capacity, int dIn) {
    BackendChecks.atLeastOne("capacity", capacity);
    BackendChecks.atLeastOne("dIn", dIn);
    long bytes = (long) capacity * dIn * Float.BYTES;
    return new ActivationBatch(on.allocateOnDevice(bytes), capacity, dIn);
  }

  /**
   * Wraps a buffer, such as device memory that another program fills, in an empty batch. Closing
   * the batch closes the buffer.
   *
   * @param buffer holds {@code [capacity, dIn]} float32
   * @param capacity the most rows it can hold, at least 1
   * @param dIn width of a row, at least 1
   * @throws IllegalArgumentException if the buffer is too small
   */
  public static ActivationBatch over(DeviceBuffer buffer, int capacity, int dIn) {
    BackendChecks.atLeastOne("capacity", capacity);
    BackendChecks.atLeastOne("dIn", dIn);
    BackendChecks.holds("the batch", buffer, capacity, dIn);
    return new ActivationBatch(buffer, capacity, dIn);
  }

  /** Width of a row. */
  public int dIn() {
    return dIn;
  }

  /** The most rows it can hold. */
  public int capacity() {
    return capacity;
  }

  /** Number of filled rows. */
  public int rows() {
    return rows;
  }

  /**
   * Appends a row.
   *
   * @param row of length {@link #dIn()}. Not modified, not retained.
   * @return this
   * @throws IllegalArgumentException if it has another length
   * @throws IllegalStateException if the batch is full, or closed
   * @throws UnsupportedOperationException if it is device memory that the host cannot address
   */
  public ActivationBatch add(float[] row) {
    if (row.length != dIn) {
      throw new IllegalArgumentException(
          Expected.message(
              "a row of " + dIn + " values",
              row.length,
              "use activations of the width that the batch was allocated for"));
    }
    if (rows == capacity) {
      throw new IllegalStateException(
          Expected.message(
              "room for another row",
              "a batch full with " + capacity,
              "encode them and clear() it, or allocate a larger one"));
    }
    try (DeviceBuffer.Loan loan = buffer.lend()) {
      loan.floats().put(rows * dIn, row);
    }
    rows++;
    return this;
  }

  /**
   * Removes all rows, so that others can be added in their place.
   *
   * @return this
   */
  public ActivationBatch clear() {
    rows = 0;
    return this;
  }

  /**
   * Sets the number of filled rows, after writing to {@link #data()}.
   *
   * @throws IllegalArgumentException if not in [0, capacity]
   */
  public void rows(int filled) {
    this.rows = BackendChecks.filled(filled, capacity);
  }

  /**
   * The whole block {@code [capacity, dIn]}, position 0; a fresh view of the same memory. Writing
   * to it does not change {@link #rows()}, and each view starts at row 0 again.
   *
   * <p>Views are safe to use after close: they show the last contents, and writes to them have no
   * effect. The memory is freed once no view is reachable.
   *
   * @throws IllegalStateException after close
   * @throws UnsupportedOperationException if it is device memory that the host cannot address
   */
  public FloatBuffer data() {
    return buffer.host().asFloatBuffer();
  }

  /** The backend's handle to the same memory. */
  public DeviceBuffer buffer() {
    return buffer;
  }

  @Override
  public void close() {
    buffer.close();
  }
}
