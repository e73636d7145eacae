package io.faithfulsae.models.runtime;

/**
 * A graph's inputs and outputs bound to memory that stays the caller's. A binding may be run again
 * and again: it reads and writes whatever the memory then holds.
 *
 * <p><b>Threads</b>: one. <b>Closed by</b> who asked the session for it; the memory must outlive
 * it.
 */
public interface Binding extends AutoCloseable {

  /** Binds an input, in the place of what was bound to it. Not modified. */
  Binding input(String name, Tensor value);

  /** Binds an output, in the place of what was bound to it. Modified by {@link #run}. */
  Binding output(String name, Tensor value);

  /**
   * Computes the bound outputs from the inputs, all of which must be bound.
   *
   * @throws io.faithfulsae.spi.BackendException if the graph fails, or a shape does not fit it
   */
  void run();

  /** Lets go of the memory. Further calls do nothing. */
  @Override
  void close();
}
