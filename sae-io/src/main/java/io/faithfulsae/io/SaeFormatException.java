package io.faithfulsae.io;

import java.io.IOException;
import java.nio.file.Path;

/**
 * A file is not what it should be: which file, which field, what was expected, what came and how to
 * fix it.
 */
public class SaeFormatException extends IOException {
  private static final long serialVersionUID = 1L;

  /**
   * Makes the exception.
   *
   * @param file the file
   * @param field the field or tensor, or a word for the part of the file
   * @param problem "expected …, got …; …"
   */
  public SaeFormatException(Path file, String field, String problem) {
    super(file + ": " + field + ": " + problem);
  }
}
