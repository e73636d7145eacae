package io.faithfulsae.io;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;

/**
 * Rejects what is not a file before it is opened: opening a named pipe waits for a writer for ever,
 * and a device such as {@code /dev/zero} never ends.
 */
public final class RegularFile {
  private RegularFile() {}

  /**
   * Requires a regular file, or a link to one. One that does not exist is left to whoever opens it.
   *
   * @return the file
   * @throws SaeFormatException if it is a folder, a pipe, a device or anything else
   */
  public static Path require(Path file) throws IOException {
    if (Files.exists(file) && !Files.isRegularFile(file)) {
      throw new SaeFormatException(
          file, "file", Expected.message("a regular file", kind(file), "copy its content to one"));
    }
    return file;
  }

  /**
   * Reads a small text file in UTF-8.
   *
   * @throws SaeFormatException as {@link #require}, or if its bytes are not UTF-8
   * @throws java.nio.file.NoSuchFileException if there is none
   */
  public static String readString(Path file) throws IOException {
    try {
      return Files.readString(require(file));
    } catch (CharacterCodingException e) {
      throw new SaeFormatException(
          file,
          "file",
          Expected.message("text in UTF-8", "other bytes", "restore it, or delete it"));
    }
  }

  private static String kind(Path file) throws IOException {
    return Files.readAttributes(file, BasicFileAttributes.class).isDirectory()
        ? "a folder"
        : "a pipe, a device or a socket";
  }
}
