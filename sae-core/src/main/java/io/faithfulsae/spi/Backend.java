package io.faithfulsae.spi;

/**
 * A device on which SAEs live and run. Operations are whole SAE operations, so that an
 * implementation may fuse them.
 *
 * <p><b>Threads</b>: a backend may be used from any thread, one call at a time (implementations
 * lock). Closing it waits for the call that runs and closes everything made from it, newest first.
 * Use after close throws {@link IllegalStateException}, so work that goes on in another thread ends
 * with one. Errors of the device are {@link io.faithfulsae.spi.BackendException}.
 */
public interface Backend extends AutoCloseable {

  /**
   * What a backend runs on, recorded with every result.
   *
   * @param name the backend's name, such as {@code "cpu"} or {@code "cuda"}
   * @param device the hardware's own name
   * @param details further facts as one line of JSON (instruction set, threads, libraries)
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
   * Allocates zeroed memory next to the device, which every operation takes without moving it; the
   * host may be unable to address it ({@link DeviceBuffer#onDevice()}).
   *
   * @param bytes size, at least 1
   * @throws IllegalArgumentException if {@code bytes < 1}
   */
  default DeviceBuffer allocateOnDevice(long bytes) {
    return allocate(bytes);
  }

  /**
   * Address of the stream that operations are queued on, for other code that works on the same
   * memory; 0 where an operation is done when its call returns.
   */
  default long stream() {
    return 0;
  }

  /**
   * Makes the parameters of one SAE, all zero.
   *
   * @param dIn width of the activations, at least 1
   * @param dSae number of latents, at least 1
   * @param subtractDecoderBias whether {@code b_dec} is taken from the input before encoding
   *     ({@code apply_b_dec_to_input})
   */
  BackendSae createSae(int dIn, int dSae, boolean subtractDecoderBias);

  /**
   * Computes {@code c = a bᵀ} in float32.
   *
   * @param a <b>Shape</b> {@code [m, inner]}. Not modified.
   * @param b <b>Shape</b> {@code [n, inner]}. Not modified.
   * @param c <b>Shape</b> {@code [m, n]}. Modified.
   */
  void matmulTransposed(DeviceBuffer a, int m, DeviceBuffer b, int n, int inner, DeviceBuffer c);

  /**
   * Copies rows: {@code into[i] = factor · from[rows[first + i]]} in float32, the product in
   * double. A row whose number is outside {@code [0, fromRows)} becomes NaN, which later operations
   * refuse.
   *
   * @param from <b>Shape</b> {@code [fromRows, columns]}. Not modified.
   * @param rows row numbers, int32, at least {@code first + count}. Not modified.
   * @param first place in {@code rows} of the first number, at least 0
   * @param count rows to copy, at least 1
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

  /** Waits until all operations so far are done and their results visible to the host. */
  void synchronize();

  /** Native bytes held by what was made from this backend and is not closed yet. */
  long liveBytes();

  @Override
  void close();
}
