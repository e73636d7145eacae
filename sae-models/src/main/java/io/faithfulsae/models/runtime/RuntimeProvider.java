package io.faithfulsae.models.runtime;

import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendUnavailableException;
import org.jspecify.annotations.Nullable;

/** Opens a runtime; discovered through the service loader. */
public interface RuntimeProvider {

  /** Its name in {@code -Dsae.models.runtime}. */
  String name();

  /** Whether it supports the device of the backend with this name. */
  boolean computesOn(String backend);

  /**
   * Opens the runtime.
   *
   * @param backend a backend whose device and memory to share; null for the CPU
   * @throws BackendUnavailableException with the reason, if it is not usable here
   */
  OnnxRuntime open(@Nullable Backend backend);
}
