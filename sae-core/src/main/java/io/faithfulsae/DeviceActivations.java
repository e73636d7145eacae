package io.faithfulsae;

/**
 * Activations of one forward pass on the device that the model ran on, {@code [batch * length,
 * dModel]}; only their norms came to the host.
 *
 * <p><b>Threads</b>: as the model. <b>Closed by</b> who asked the model for it, before the model.
 */
public interface DeviceActivations extends AutoCloseable {

  /** Euclidean norm of a row, summed in float32. */
  double norm(int row);

  /**
   * Copies rows into a batch, on the device.
   *
   * @param rows which of the block; in [0, batch * length). Not modified.
   * @param count how many of these, from the start
   * @param into holds rows of the same width in memory of the backend that the model was opened
   *     beside. {@link ActivationBatch#rows()} stays. Modified.
   * @param first row of the batch that the first one goes to
   */
  void copy(int[] rows, int count, ActivationBatch into, int first);

  /** Gives the memory back. Further calls do nothing. */
  @Override
  void close();
}
