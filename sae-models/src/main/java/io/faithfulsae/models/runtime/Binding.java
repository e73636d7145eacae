package io.faithfulsae.models.runtime;

/**
 * A graph's inputs and outputs bound to memory that the caller owns. A binding can be run
 * repeatedly; each run uses the current contents of that memory.
 *
 * <p><b>Threads</b>: one. <b>Closed by</b> whoever requested it from the session; the memory must
 * outlive it.
 */
public interface Binding extends AutoCloseable {

  /** Binds an input, replacing any earlier binding. Not modified. */
  Binding input(String name, Tensor value);

  /** Binds an output, replacing any earlier binding. Modified by {@link #run}. */
  Binding output(String name, Tensor value);

  /**
   * Runs the graph; all inputs must be bound.
   *
   * @throws io.faithfulsae.spi.BackendException if the graph fails, or a shape does not match
   */
  void run();

  /** Releases the memory. Further calls do nothing. */
  @Override
  void close();
}
