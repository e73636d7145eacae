package io.faithfulsae.examples;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.Backends;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingRun;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * How to plug in activations from anywhere: here from a text file of comma-separated numbers, a row
 * a line.
 */
public final class CustomSource {
  private CustomSource() {}

  /**
   * Rows of a CSV file.
   *
   * @param file to read; must not change
   * @param dIn numbers a line
   */
  public record Csv(Path file, int dIn) implements ActivationSource {
    @Override
    public String description() {
      return "rows of " + file;
    }

    @Override
    public ActivationReader open(long position) throws IOException {
      CsvReader reader = new CsvReader(Files.newBufferedReader(file));
      reader.skip(position);
      return reader;
    }
  }

  /** One pass over the file; its position is the number of the next line. */
  private static final class CsvReader implements ActivationReader {
    private final BufferedReader lines;
    private long position;

    CsvReader(BufferedReader lines) {
      this.lines = lines;
    }

    void skip(long count) throws IOException {
      while (position < count && lines.readLine() != null) {
        position++;
      }
    }

    @Override
    public int read(ActivationBatch into) throws IOException {
      int before = into.rows();
      FloatBuffer data = into.data();
      while (into.rows() < into.capacity()) {
        String line = lines.readLine();
        if (line == null) {
          break;
        }
        data.position(into.rows() * into.dIn());
        for (String number : line.split(",", -1)) {
          data.put(Float.parseFloat(number));
        }
        into.rows(into.rows() + 1);
        position++;
      }
      boolean ended = into.rows() == before && before < into.capacity();
      return ended ? -1 : into.rows() - before;
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

  /** Writes a small file, trains an SAE on it and prints how much it explains. */
  public static void main(String[] args) throws IOException, InterruptedException {
    Path dir = Files.createTempDirectory("sae");
    Csv source = new Csv(Files.writeString(dir.resolve("rows.csv"), rows(2_000)), 3);
    TrainingConfig training =
        TrainingConfig.builder().tokens(40_000).batch(200).bufferRows(2_000).lr(1e-2).build();
    try (Backend backend = Backends.best()) {
      SaeTrainer trainer = SaeTrainer.of(SaeConfig.topK(source.dIn(), 8, 1), training, backend);
      try (TrainingRun run = trainer.start(source, dir.resolve("sae"))) {
        run.await();
      }
      try (Sae sae = Sae.load(dir.resolve("sae"), backend)) {
        System.out.println(
            "explained variance: "
                + Metrics.reconstruction(sae, source, 2_000).explainedVariance());
      }
    }
  }

  /** Each row lies along one of the three axes. */
  private static String rows(int count) {
    StringBuilder csv = new StringBuilder();
    for (int i = 0; i < count; i++) {
      int axis = i % 3;
      double size = 1 + i * 0.618 % 1;
      csv.append(axis == 0 ? size : 0)
          .append(',')
          .append(axis == 1 ? size : 0)
          .append(',')
          .append(axis == 2 ? size : 0)
          .append('\n');
    }
    return csv.toString();
  }
}
