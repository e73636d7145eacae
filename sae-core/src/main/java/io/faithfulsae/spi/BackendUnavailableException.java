package io.faithfulsae.spi;

/**
 * No backend, or not the requested one, can run here; the message gives every provider's reason. Or
 * a backend lacks what an operation needs, such as an activation; the message names it.
 */
public class BackendUnavailableException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** Creates the exception. */
  public BackendUnavailableException(String message) {
    super(message);
  }

  /** Creates the exception with a cause. */
  public BackendUnavailableException(String message, Throwable cause) {
    super(message, cause);
  }
}
