package io.faithfulsae;

import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.FloatBuffer;

/**
 * Rows of activations in a backend's memory: float32, row-major {@code [capacity, dIn]}, of which
 * the first {@link #rows()} are filled.
 *
 * <p><b>Closed by</b> who allocated it. <b>Threads</b>: one at a time.
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
   * Allocates an empty batch next to the device, where the host may be unable to address it.
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
   * A batch over a buffer, such as device memory that another program fills; no rows are filled
   * yet. Closing the batch closes the buffer.
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

  /** Rows that are filled. */
  public int rows() {
    return rows;
  }

  /**
   * Says how many rows are filled, after writing to {@link #data()}.
   *
   * @throws IllegalArgumentException if not in [0, capacity]
   */
  public void rows(int filled) {
    this.rows = BackendChecks.filled(filled, capacity);
  }

  /**
   * The whole block {@code [capacity, dIn]}, position 0; a fresh view of the same memory.
   *
   * <p>A view that is kept after close may be used without harm: it shows the rows as they were
   * left, and what is written to it reaches nobody. While one is reachable its memory is held.
   *
   * @throws IllegalStateException after close
   * @throws UnsupportedOperationException if it is device memory that the host cannot address
   */
  public FloatBuffer data() {
    return buffer.host().asFloatBuffer();
  }

  /** The backend's handle on the same memory. */
  public DeviceBuffer buffer() {
    return buffer;
  }

  @Override
  public void close() {
    buffer.close();
  }
}
