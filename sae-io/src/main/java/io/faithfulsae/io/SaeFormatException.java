package io.faithfulsae.io;

import java.io.IOException;
import java.nio.file.Path;

/**
 * A file is malformed. The message says which file and field, what was expected, what was found and
 * how to fix it.
 */
public class SaeFormatException extends IOException {
  private static final long serialVersionUID = 1L;

  /**
   * Creates the exception.
   *
   * @param file the file
   * @param field the field or tensor, or a word for the part of the file
   * @param problem "expected …, got …; …"
   */
  public SaeFormatException(Path file, String field, String problem) {
    super(file + ": " + field + ": " + problem);
  }
}
