package io.faithfulsae.spi;

import io.faithfulsae.io.Expected;

/**
 * Finds and opens one kind of {@link Backend}; registered as a {@link java.util.ServiceLoader}
 * service.
 */
public interface BackendProvider {

  /**
   * Whether a backend can be opened on this machine, and why or why not.
   *
   * @param name the backend's name
   * @param usable whether {@link BackendProvider#open()} is expected to work
   * @param reason the device when usable; otherwise what is missing and how to fix it
   */
  record Availability(String name, boolean usable, String reason) {}

  /** The name used in {@code -Dsae.backend=NAME} and {@code Backends.open(NAME)}. */
  String name();

  /**
   * The usable backend with the highest priority is preferred: CPU 0, GPUs 100. One below 0 is for
   * where no other can run; its use is logged as a warning that says what is missing.
   */
  int priority();

  /**
   * Reports whether the backend can run here. Must not throw, nor ask {@code Backends}, which asks
   * every provider.
   */
  Availability probe();

  /**
   * Opens the backend. <b>Closed by</b> the caller.
   *
   * @throws io.faithfulsae.spi.BackendUnavailableException if it cannot run here, with the reason
   */
  Backend open();

  /**
   * Opens the backend with options, such as which device to use. <b>Closed by</b> the caller.
   *
   * @param options in the backend's own syntax; empty for none
   * @throws io.faithfulsae.spi.BackendUnavailableException if it cannot run here with these
   *     options, or accepts none
   */
  default Backend open(String options) {
    if (options.isEmpty()) {
      return open();
    }
    throw new BackendUnavailableException(
        Expected.message("no options for backend \"" + name() + "\"", options, "open it without"));
  }
}
