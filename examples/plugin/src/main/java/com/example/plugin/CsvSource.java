package com.example.plugin;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.io.Expected;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;

/** Activations from a file of comma-separated numbers, one row per line: {@code csv:FILE}. */
public final class CsvSource implements ActivationSource.Provider {
  @Override
  public String name() {
    return "csv";
  }

  @Override
  public ActivationSource open(String argument) throws IOException {
    Path file = Path.of(argument);
    try (BufferedReader lines = Files.newBufferedReader(file)) {
      String first = lines.readLine();
      if (first == null) {
        throw new IllegalArgumentException(
            Expected.message("rows in " + file, "an empty file", "name another"));
      }
      return new Rows(file, first.split(",", -1).length);
    }
  }

  private record Rows(Path file, int dIn) implements ActivationSource {
    @Override
    public String description() {
      return "rows of " + file;
    }

    @Override
    public ActivationReader open(long position) throws IOException {
      BufferedReader lines = Files.newBufferedReader(file);
      for (long line = 0; line < position; line++) {
        lines.readLine();
      }
      return new Reader(lines, position, dIn);
    }
  }

  private static final class Reader implements ActivationReader {
    private final BufferedReader lines;
    private final int dIn;
    private long position;

    Reader(BufferedReader lines, long position, int dIn) {
      this.lines = lines;
      this.position = position;
      this.dIn = dIn;
    }

    @Override
    public int read(ActivationBatch into) throws IOException {
      int before = into.rows();
      while (into.rows() < into.capacity()) {
        String line = lines.readLine();
        if (line == null) {
          break;
        }
        String[] numbers = line.split(",", -1);
        if (numbers.length != dIn) {
          throw new IOException(
              Expected.message(
                  dIn + " numbers in line " + (position + 1), numbers.length, "repair the file"));
        }
        FloatBuffer row = into.data().position(into.rows() * dIn);
        for (String number : numbers) {
          row.put(Float.parseFloat(number));
        }
        into.rows(into.rows() + 1);
        position++;
      }
      return into.rows() == before && before < into.capacity() ? -1 : into.rows() - before;
    }

    @Override
    public long position() {
      return position;
    }

    @Override
    public void close() {
      try {
        lines.close();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }
}
