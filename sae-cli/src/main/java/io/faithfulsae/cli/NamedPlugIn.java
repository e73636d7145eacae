package io.faithfulsae.cli;

import io.faithfulsae.spi.Services;
import java.io.IOException;

/**
 * What is chosen by name from a jar on the class path: {@code NAME}, or {@code NAME:ARGUMENT}.
 *
 * @param argument for the jar's own code; empty for none
 */
record NamedPlugIn(String name, String argument) {

  /** Makes something of an argument. */
  @FunctionalInterface
  interface Opening<T> {
    T open() throws IOException;
  }

  /** Splits an option's value at its first colon. */
  static NamedPlugIn of(String value) {
    int colon = value.indexOf(':');
    return colon < 0
        ? new NamedPlugIn(value, "")
        : new NamedPlugIn(value.substring(0, colon), value.substring(colon + 1));
  }

  /**
   * Runs code of the jar.
   *
   * @throws IllegalStateException if it throws what it must not; the message names its class and
   *     jar
   */
  <T> T opened(Object provider, Opening<T> opening) throws IOException {
    try {
      return opening.open();
    } catch (IllegalArgumentException e) { // about the argument
      throw e;
    } catch (RuntimeException | LinkageError e) {
      throw new IllegalStateException(
          Services.failure(provider, "open \"" + argument + "\"", e), e);
    }
  }
}
