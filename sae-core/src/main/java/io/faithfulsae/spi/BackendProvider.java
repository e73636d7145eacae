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
   * @param reason the device when usable; otherwise what is missing and how to mend it
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
   * @throws io.faithfulsae.BackendUnavailableException if it cannot run here, with the reason
   */
  Backend open();
}
