package io.faithfulsae.spi;

/**
 * No backend, or not the one asked for, can run here; the message holds every provider's reason.
 */
public class BackendUnavailableException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** Makes the exception. */
  public BackendUnavailableException(String message) {
    super(message);
  }
}
