package io.faithfulsae.internal;

import io.faithfulsae.io.SaeFormatException;
import java.nio.file.Path;

/** The files are of a known format, and the SAE is of a kind that the format's reader lacks. */
final class OtherArchitectureException extends SaeFormatException {
  private static final long serialVersionUID = 1L;

  OtherArchitectureException(Path file, String field, String problem) {
    super(file, field, problem);
  }
}
