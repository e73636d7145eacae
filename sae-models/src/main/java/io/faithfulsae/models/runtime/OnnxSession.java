package io.faithfulsae.models.runtime;

import java.util.Set;

/** A loaded graph. <b>Closed by</b> who opened it, after its bindings. */
public interface OnnxSession extends AutoCloseable {

  /** Names of the inputs; a graph has none that its outputs do not need. */
  Set<String> inputs();

  /** Begins to bind memory to the inputs and outputs. <b>Closed by</b> the caller. */
  Binding bind();

  /** Frees the graph. Further calls do nothing. */
  @Override
  void close();
}
