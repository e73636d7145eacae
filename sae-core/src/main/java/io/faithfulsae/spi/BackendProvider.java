package io.faithfulsae.spi;

/**
 * Finds and opens one kind of {@link Backend}; registered as a {@link java.util.ServiceLoader}
 * service.
 */
public interface BackendProvider {

  /**
   * Whether a backend can be opened on this machine, and why (not).
   *
   * @param name the backend's name
   * @param usable whether {@link BackendProvider#open()} is expected to work
   * @param reason the device when usable; otherwise what is missing and how to fix it
   */
  record Availability(String name, boolean usable, String reason) {}

  /** The name by which {@code -Dsae.backend=NAME} and {@code Backends.open(NAME)} ask for it. */
  String name();

  /** Among usable backends the highest priority is taken: CPU 0, GPUs 100. */
  int priority();

  /** Says whether the backend can run here. Never throws. */
  Availability probe();

  /**
   * Opens the backend. <b>Closed by</b> the caller.
   *
   * @throws io.faithfulsae.spi.BackendUnavailableException if it cannot run here, with the reason
   */
  Backend open();

  /**
   * Opens the backend with options of its own, such as which device. <b>Closed by</b> the caller.
   *
   * @param options as the backend takes them; empty: none
   * @throws io.faithfulsae.spi.BackendUnavailableException if it cannot run so here, or takes none
   */
  default Backend open(String options) {
    if (options.isEmpty()) {
      return open();
    }
    throw new BackendUnavailableException(
        "expected no options for backend \"" + name() + "\", got " + options + "; open it without");
  }
}
