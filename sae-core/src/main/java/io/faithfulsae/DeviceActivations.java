package io.faithfulsae;

/**
 * Activations of one forward pass on the model's device, {@code [batch * length, dModel]}; only
 * their norms are copied to the host.
 *
 * <p><b>Threads</b>: as for the model. <b>Closed by</b> whoever asked the model for it, before the
 * model.
 */
public interface DeviceActivations extends AutoCloseable {

  /** Euclidean norm of a row, summed in float32. */
  double norm(int row);

  /**
   * Copies rows into a batch, on the device.
   *
   * @param rows indices of the rows, in [0, batch * length). Not modified.
   * @param count how many of {@code rows} to copy, from the start
   * @param into has the same row width, in memory of a backend that shares the model's device.
   *     {@link ActivationBatch#rows()} does not change. Modified.
   * @param first row of the batch at which to start writing
   */
  void copy(int[] rows, int count, ActivationBatch into, int first);

  /** Frees the memory. Further calls do nothing. */
  @Override
  void close();
}
