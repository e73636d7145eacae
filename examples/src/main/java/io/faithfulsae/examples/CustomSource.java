package io.faithfulsae.examples;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.Backends;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/** Activations from anywhere: here from a file of comma-separated numbers, one row per line. */
public final class CustomSource {
  private CustomSource() {}

  /** A recipe for reading the rows any number of times; the file must not change. */
  private record Csv(Path file, int dIn) implements ActivationSource {
    @Override
    public String description() {
      return "rows of " + file;
    }

    @Override
    @SuppressWarnings("StreamResourceLeak") // closed by the reader
    public ActivationReader open(long position) throws IOException {
      Stream<String> lines = Files.lines(file).skip(position);
      var rest = lines.iterator();
      return new ActivationReader() {
        private long next = position;

        @Override
        public int read(ActivationBatch into) {
          int before = into.rows();
          for (; into.rows() < into.capacity() && rest.hasNext(); next++) {
            var row = FloatBuffer.allocate(dIn);
            Stream.of(rest.next().split(",", -1)).map(Float::valueOf).forEach(row::put);
            into.add(row.array());
          }
          return into.rows() == before && before < into.capacity() ? -1 : into.rows() - before;
        }

        @Override
        public long position() {
          return next;
        }

        @Override
        public void close() {
          lines.close();
        }
      };
    }
  }

  /** Writes a small file, trains an SAE on it and prints the explained variance. */
  public static void main(String[] args) throws IOException, InterruptedException {
    Path dir = Files.createTempDirectory("sae");
    StringBuilder rows = new StringBuilder(); // each lies along one of the three axes
    for (int i = 0; i < 2_000; i++) {
      rows.append("0,".repeat(i % 3) + (1 + i % 0.618) + ",0".repeat(2 - i % 3) + "\n");
    }
    Csv source = new Csv(Files.writeString(dir.resolve("rows.csv"), rows), 3);
    var training = TrainingConfig.builder().tokens(40_000).batch(200).bufferRows(2_000).lr(1e-2);
    SaeConfig shape = SaeConfig.topK(3, 8, 1);
    try (var backend = Backends.best();
        var run = SaeTrainer.of(shape, training.build(), backend).start(source, dir)) {
      run.await();
      try (Sae sae = Sae.load(dir, backend)) {
        double explained = Metrics.reconstruction(sae, source, 2_000).explainedVariance();
        System.out.println("explained variance: " + explained);
      }
    }
  }
}
