package io.faithfulsae.spi;

import java.nio.ByteBuffer;

/**
 * A block of memory that a {@link Backend} can read and write: 64-byte aligned, zeroed when made,
 * addressable by the host (pinned where the device is elsewhere).
 *
 * <p><b>Closed by</b> who allocated it, or by closing the backend. Use after close throws {@link
 * IllegalStateException}.
 */
public interface DeviceBuffer extends AutoCloseable {

  /** Size in bytes. */
  long bytes();

  /**
   * The whole block as the host sees it, in native byte order; at most 2 GiB of it, from the start.
   * Valid until {@link #close()}. What an operation wrote is visible after {@link
   * Backend#synchronize()}.
   */
  ByteBuffer host();

  /**
   * Starts to bring the first {@code bytes} to the device, beside the operations that run.
   * Operations from now on that read no more than those read them as they are now, any number of
   * times, until the next upload. The host may not write to the memory until they are done. Does
   * nothing where the device reads the host's memory; an operation that finds nothing uploaded
   * copies by itself.
   *
   * @param bytes in [0, bytes()]; 0 ends the effect of an earlier upload
   */
  default void upload(long bytes) {}

  /**
   * Where the memory starts, for other native code that shares it: in the host's address space, or
   * in the device's where {@link #onDevice()}. Valid until {@link #close()}.
   *
   * @throws UnsupportedOperationException if the backend does not say
   */
  default long address() {
    throw new UnsupportedOperationException(
        "expected a buffer with an address, got one of "
            + getClass().getName()
            + "; mend: allocate it on the cpu or cuda backend");
  }

  /** Whether it is memory of the device itself, where {@link #host()} throws. */
  default boolean onDevice() {
    return false;
  }

  /** Frees the memory. Further calls do nothing. */
  @Override
  void close();
}
