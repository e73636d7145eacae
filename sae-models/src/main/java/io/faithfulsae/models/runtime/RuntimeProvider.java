package io.faithfulsae.models.runtime;

import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendUnavailableException;
import org.jspecify.annotations.Nullable;

/** Opens a runtime; found as a service. */
public interface RuntimeProvider {

  /** What {@code -Dsae.models.runtime} calls it. */
  String name();

  /** Whether it computes on the device of a backend of this name. */
  boolean computesOn(String backend);

  /**
   * Opens the runtime.
   *
   * @param beside a backend whose device and memory it shares; null: the CPU
   * @throws BackendUnavailableException with the reason, if it cannot run here
   */
  OnnxRuntime open(@Nullable Backend beside);
}
