package io.faithfulsae.spi;

/**
 * A backend's operation failed on the device: out of memory, a device error, or a bug in the
 * backend itself.
 */
public class BackendException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /**
   * * Creates the exception.
   *
   * @param operation the operation that failed, such as {@code encodeTopK}
   * @param device the device it ran on
   * @param message the backend's own message
   */
  public BackendException(String operation, String device, String message) {
    super(operation + " on " + device + ": " + message);
  }
}
