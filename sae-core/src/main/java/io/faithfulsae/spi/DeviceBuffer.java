package io.faithfulsae.spi;

import io.faithfulsae.io.Expected;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;

/**
 * A block of memory that a {@link Backend} can read and write: 64-byte aligned, initially zero,
 * addressable by the host (pinned for a separate device).
 *
 * <p><b>Closed by</b> whoever allocated it, or by closing the backend. Use after close throws
 * {@link IllegalStateException}.
 */
public interface DeviceBuffer extends AutoCloseable {

  /** Size in bytes. */
  long bytes();

  /**
   * A host view of the block, in native byte order; at most the first 2 GiB. Results of operations
   * are visible after {@link Backend#synchronize()}.
   *
   * <p>Views are safe to use after {@link #close()}: they show the last contents, and writes to
   * them have no effect. Memory with views is freed once the garbage collector finds no view
   * reachable; {@link Backend#liveBytes()} does not include it. Code that needs a view only until
   * it returns should use {@link #lend()}.
   *
   * @throws UnsupportedOperationException if {@link #onDevice()}
   */
  ByteBuffer host();

  /**
   * Borrows the memory for a short time. It stays valid until the loan ends, even if the buffer or
   * its backend is closed meanwhile; closing does not wait. Unlike with {@link #host()}, closing
   * the buffer then frees the memory without the garbage collector. <b>Closed by</b> the caller,
   * soon.
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

  /** A buffer's memory, which stays valid until this is closed. */
  interface Loan extends AutoCloseable {

    /**
     * Like {@link DeviceBuffer#host()}; its views must not be used after the loan has ended.
     *
     * @throws UnsupportedOperationException if it is device memory
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

    /** Like {@link DeviceBuffer#address()}. */
    long address();

    /** Ends the loan. Further calls do nothing. */
    @Override
    void close();
  }

  /**
   * Starts copying the first {@code bytes} to the device, in parallel with running operations.
   * Until the next upload, later operations that read no more than those bytes use this copy. The
   * host must not write to the memory until they are complete. Does nothing if the device reads
   * host memory directly. An operation without an upload copies the data itself.
   *
   * @param bytes in [0, bytes()]; 0 discards an earlier upload
   */
  default void upload(long bytes) {}

  /**
   * Start address of the memory, for other native code that shares it: in the host's address space,
   * or in the device's if {@link #onDevice()}. Valid until {@link #close()}.
   *
   * @throws UnsupportedOperationException if the backend does not provide it
   */
  default long address() {
    throw new UnsupportedOperationException(
        Expected.message(
            "a buffer with an address",
            "one of " + getClass().getName(),
            "allocate it on the cpu or cuda backend"));
  }

  /** Whether it is device memory, for which {@link #host()} throws. */
  default boolean onDevice() {
    return false;
  }

  /** Frees the memory. Further calls do nothing. */
  @Override
  void close();
}
