package io.faithfulsae.internal;

import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeFormat;
import io.faithfulsae.spi.BackendSae;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A built-in format.
 *
 * @param is whether a path is one
 * @param reader reads the configuration
 * @param writer writes a folder; null if it is only read
 */
record Layout(String name, Is is, Reader reader, @Nullable Writer writer) implements SaeFormat {

  /** Whether a path is of the format. */
  @FunctionalInterface
  interface Is {
    boolean test(Path path) throws IOException;
  }

  /** Reads a configuration. */
  @FunctionalInterface
  interface Reader {
    SaeFile read(Path path) throws IOException;
  }

  /** Checks that the format expresses an SAE, and that the folder has no other; then writes it. */
  @FunctionalInterface
  interface Writer {
    void write(Path dir, SaeConfig config, Map<String, String> metadata, BackendSae from)
        throws IOException;
  }

  /** A format that is only read. */
  Layout(String name, Is is, Reader reader) {
    this(name, is, reader, null);
  }

  @Override
  public boolean recognizes(Path path) throws IOException {
    return is.test(path);
  }

  @Override
  public SaeFile open(Path path) throws IOException {
    return reader.read(path).checked();
  }

  @Override
  public void write(Path dir, SaeConfig config, Map<String, String> metadata, BackendSae from)
      throws IOException {
    if (writer == null) {
      SaeFormat.super.write(dir, config, metadata, from);
    } else {
      writer.write(dir, config, metadata, from);
    }
  }
}
