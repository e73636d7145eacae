package io.faithfulsae.spi;

/**
 * A device that stores SAEs and runs them. Operations are complete SAE operations, so that
 * implementations can fuse kernels.
 *
 * <p><b>Threads</b>: a backend may be used from any thread, one call at a time (implementations
 * lock). Closing it waits for the call in progress and closes everything created from it, newest
 * first. Use after close throws {@link IllegalStateException}, also in threads that are still
 * working with it. Device errors throw {@link io.faithfulsae.spi.BackendException}.
 */
public interface Backend extends AutoCloseable {

  /**
   * What a backend runs on, recorded with every result.
   *
   * @param name the backend's name, such as {@code "cpu"} or {@code "cuda"}
   * @param device the name of the hardware
   * @param details further details as one line of JSON (instruction set, threads, libraries)
   */
  record Info(String name, String device, String details) {}

  /** What this backend runs on. */
  Info info();

  /**
   * Allocates zeroed memory.
   *
   * @param bytes size, at least 1
   * @throws IllegalArgumentException if {@code bytes < 1}
   */
  DeviceBuffer allocate(long bytes);

  /**
   * Allocates zeroed device memory, which operations use without copying; the host may be unable to
   * address it ({@link DeviceBuffer#onDevice()}).
   *
   * @param bytes size, at least 1
   * @throws IllegalArgumentException if {@code bytes < 1}
   */
  default DeviceBuffer allocateOnDevice(long bytes) {
    return allocate(bytes);
  }

  /**
   * Address of the stream on which operations are queued, for other code that uses the same memory;
   * 0 if operations are synchronous.
   */
  default long stream() {
    return 0;
  }

  /**
   * Creates the parameters of one SAE, all zero.
   *
   * @throws BackendUnavailableException if the backend lacks a tensor of the shape
   */
  BackendSae createSae(SaeShape shape);

  /** Creates the parameters of a TopK SAE, all zero. */
  default BackendSae createSae(int dIn, int dSae, boolean subtractDecoderBias) {
    return createSae(SaeShape.of(dIn, dSae, subtractDecoderBias));
  }

  /**
   * Computes {@code c = a bᵀ} in float32.
   *
   * @param a <b>Shape</b> {@code [m, inner]}. Not modified.
   * @param b <b>Shape</b> {@code [n, inner]}. Not modified.
   * @param c <b>Shape</b> {@code [m, n]}. Modified.
   */
  void matmulTransposed(DeviceBuffer a, int m, DeviceBuffer b, int n, int inner, DeviceBuffer c);

  /**
   * Copies rows: {@code into[i] = factor · from[rows[first + i]]} in float32, multiplied in double.
   * A row whose index is outside {@code [0, fromRows)} becomes NaN, which later operations reject.
   *
   * @param from <b>Shape</b> {@code [fromRows, columns]}. Not modified.
   * @param rows row indices, int32, at least {@code first + count} of them. Not modified.
   * @param first offset in {@code rows} of the first index, at least 0
   * @param count number of rows to copy, at least 1
   * @param into <b>Shape</b> {@code [count, columns]}. Modified.
   */
  void gatherRows(
      DeviceBuffer from,
      int fromRows,
      int columns,
      DeviceBuffer rows,
      int first,
      int count,
      double factor,
      DeviceBuffer into);

  /** Waits until all operations so far are complete and their results are visible to the host. */
  void synchronize();

  /** Native bytes held by objects created from this backend that are not closed yet. */
  long liveBytes();

  @Override
  void close();
}
