package io.faithfulsae.spi;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;

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
   * What an operation wrote is visible after {@link Backend#synchronize()}.
   *
   * <p>A view that is kept beyond {@link #close()} may be used without harm: it shows the memory as
   * it was left, and what is written there reaches nobody. Memory that a view may still show is
   * freed when the collector finds no view left; it does not count among {@link
   * Backend#liveBytes()}. Code that is done with a view before it returns should {@link #lend()}.
   *
   * @throws UnsupportedOperationException where {@link #onDevice()}
   */
  ByteBuffer host();

  /**
   * The memory for a while. It stays where it is until the loan ends, also when the buffer, or its
   * backend, is closed meanwhile; nobody waits. Other than after {@link #host()}, closing the
   * buffer frees the memory with no need for the collector. <b>Closed by</b> the caller, soon.
   */
  default Loan lend() {
    return new Loan() {
      @Override
      public ByteBuffer bytes() {
        return host();
      }

      @Override
      public long address() {
        return DeviceBuffer.this.address();
      }

      @Override
      public void close() {}
    };
  }

  /** Memory of a buffer that stays where it is until this is closed. */
  interface Loan extends AutoCloseable {

    /**
     * As {@link DeviceBuffer#host()}; no view of it may be used once the loan has ended.
     *
     * @throws UnsupportedOperationException if it is memory of the device itself
     */
    ByteBuffer bytes();

    /** The same as floats. */
    default FloatBuffer floats() {
      return bytes().asFloatBuffer();
    }

    /** The same as integers. */
    default IntBuffer ints() {
      return bytes().asIntBuffer();
    }

    /** As {@link DeviceBuffer#address()}. */
    long address();

    /** Ends the loan. Further calls do nothing. */
    @Override
    void close();
  }

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
            + "; allocate it on the cpu or cuda backend");
  }

  /** Whether it is memory of the device itself, where {@link #host()} throws. */
  default boolean onDevice() {
    return false;
  }

  /** Frees the memory. Further calls do nothing. */
  @Override
  void close();
}
