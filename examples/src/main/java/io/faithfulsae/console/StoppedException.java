package io.faithfulsae.console;

/** The user stopped the command with Ctrl-C; the message says what was kept. */
public final class StoppedException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** Makes the exception. */
  public StoppedException(String message) {
    super(message);
  }
}
