package io.faithfulsae.models.runtime;

import java.util.Set;

/** A loaded graph. <b>Closed by</b> whoever opened it, after its bindings. */
public interface OnnxSession extends AutoCloseable {

  /** Names of the inputs; graphs have no unused ones. */
  Set<String> inputs();

  /** Creates an empty binding of memory to inputs and outputs. <b>Closed by</b> the caller. */
  Binding bind();

  /** Frees the graph. Further calls do nothing. */
  @Override
  void close();
}
