package io.faithfulsae.study.work;

/** Work was stopped on request rather than by a failure; the message says what was kept. */
public final class StoppedException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** Makes the exception. */
  public StoppedException(String message) {
    super(message);
  }
}
