package io.faithfulsae.study.work;

import io.faithfulsae.io.Expected;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.jspecify.annotations.Nullable;

/**
 * The file of a log: written through after each second, and given up after the first error, which
 * is kept for the end.
 */
final class AppendedFile implements AutoCloseable {
  private static final long FLUSH_NANOS = 1_000_000_000L;

  private final Path file;
  private final OutputStream out;
  private long flushed = System.nanoTime();
  private @Nullable IOException failure;

  private AppendedFile(Path file, OutputStream out) {
    this.file = file;
    this.out = out;
  }

  static AppendedFile open(Path file, StandardOpenOption... options) throws IOException {
    return new AppendedFile(file, new BufferedOutputStream(Files.newOutputStream(file, options)));
  }

  void write(byte[] bytes) {
    if (failure != null) {
      return;
    }
    try {
      out.write(bytes);
      long now = System.nanoTime();
      if (now - flushed > FLUSH_NANOS) {
        out.flush();
        flushed = now;
      }
    } catch (IOException e) {
      failure = e;
    }
  }

  @Override
  public void close() throws IOException {
    try {
      out.close();
    } catch (IOException e) {
      failure = failure == null ? e : failure;
    }
    if (failure != null) {
      throw new IOException(
          Expected.message(
              "to write the training log " + file,
              failure.getMessage(),
              "the SAE is complete, its log is not; make room before the next run"),
          failure);
    }
  }
}
