package io.faithfulsae.models.tokens;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.FilterReader;
import java.io.IOException;
import java.io.Reader;
import java.nio.file.Path;

/**
 * The characters of a file whose lines are not longer than any document needs to be: a small
 * compressed file can hold a line that is larger than memory.
 */
final class BoundedLines extends FilterReader {
  /** Characters of one line. */
  static final int MAX = 1 << 26;

  private final Path file;
  private long line = 1;
  private long length;

  BoundedLines(Path file, Reader reader) {
    super(reader);
    this.file = file;
  }

  @Override
  public int read() throws IOException {
    char[] one = new char[1];
    return read(one, 0, 1) < 0 ? -1 : one[0];
  }

  @Override
  public int read(char[] into, int offset, int count) throws IOException {
    int got;
    try {
      got = super.read(into, offset, count);
    } catch (IOException e) {
      throw TextFiles.problem(file, e);
    }
    for (int i = offset; i < offset + got; i++) {
      length++;
      if (into[i] == '\n') {
        length = 0;
        line++;
      }
    }
    if (length > MAX) {
      throw new SaeFormatException(
          file,
          "line " + line,
          Expected.message("at most " + MAX + " characters", "more", "split the document"));
    }
    return got;
  }
}
