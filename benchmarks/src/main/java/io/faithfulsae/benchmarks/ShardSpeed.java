package io.faithfulsae.benchmarks;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.Backends;
import io.faithfulsae.ShardIndex.Precision;
import io.faithfulsae.ShardWriter;
import io.faithfulsae.ShardWriter.Options;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;

/**
 * Measures rows per second of writing shards from memory and of reading them. {@code run-shards.sh}
 * compares it with {@code cat}, with the files in the page cache and out of it.
 */
public final class ShardSpeed {
  private static final int D_IN = 768;
  private static final int BATCH = 4096;

  private ShardSpeed() {}

  /** Arguments: {@code write DIR PRECISION MIB} or {@code read DIR PASSES}. */
  public static void main(String[] args) throws IOException {
    if (args[0].equals("write")) {
      write(Path.of(args[1]), Precision.valueOf(args[2]), Long.parseLong(args[3]) << 20);
    } else {
      for (int pass = 0; pass < Integer.parseInt(args[2]); pass++) {
        read(Path.of(args[1]));
      }
    }
  }

  private static void write(Path dir, Precision precision, long bytes) throws IOException {
    long rows = bytes / (D_IN * (long) precision.bytes());
    Options options = new Options(precision, 256L << 20, Long.MAX_VALUE, rows, Map.of());
    long start = System.nanoTime();
    try (ShardWriter writer = ShardWriter.open(dir, new Repeated(rows), options)) {
      while (writer.advance()) {
        // Each call writes some.
      }
    }
    report("write " + precision, rows, precision.bytes(), start);
  }

  private static void read(Path dir) throws IOException {
    ActivationSource source = ActivationSources.ofShards(dir);
    int bytes = io.faithfulsae.ShardIndex.read(dir).precision().bytes();
    long rows = 0;
    float sum = 0;
    long start = System.nanoTime();
    try (Backend backend = Backends.open("cpu");
        ActivationReader reader = source.open(0);
        ActivationBatch batch = ActivationBatch.allocate(backend, BATCH, D_IN)) {
      while (reader.read(batch) >= 0) {
        rows += batch.rows();
        sum += batch.data().get(0);
        batch.rows(0);
      }
    }
    report("read " + (Float.isNaN(sum) ? "NaN" : "rows"), rows, bytes, start);
  }

  private static void report(String what, long rows, int bytes, long start) {
    double seconds = (System.nanoTime() - start) * 1e-9;
    System.out.printf(
        Locale.ROOT,
        "%s: %,.0f rows/s of %d, %.2f GB/s on the disk, %.2f s%n",
        what,
        rows / seconds,
        D_IN,
        rows / seconds * D_IN * bytes * 1e-9,
        seconds);
  }

  /** Repeats the same rows, so that generating them costs next to nothing. */
  private record Repeated(long rows) implements ActivationSource {
    @Override
    public int dIn() {
      return D_IN;
    }

    @Override
    public String description() {
      return "random rows, " + rows;
    }

    @Override
    public ActivationReader open(long position) {
      float[] values = new float[BATCH * D_IN];
      Rng random = new Rng(Purpose.TRIALS, 1);
      for (int i = 0; i < values.length; i++) {
        values[i] = (float) random.nextGaussian();
      }
      return new RepeatedRows(values, rows, position);
    }
  }

  private static final class RepeatedRows implements ActivationReader {
    private final float[] values;
    private final long rows;
    private long next;

    RepeatedRows(float[] values, long rows, long position) {
      this.values = values;
      this.rows = rows;
      this.next = position;
    }

    @Override
    public int read(ActivationBatch into) {
      if (next == rows) {
        return -1;
      }
      int count = (int) Math.min(rows - next, into.capacity() - into.rows());
      FloatBuffer data = into.data();
      for (int done = 0; done < count; done += BATCH) {
        int floats = Math.min(BATCH, count - done) * D_IN;
        data.put((into.rows() + done) * D_IN, values, 0, floats);
      }
      into.rows(into.rows() + count);
      next += count;
      return count;
    }

    @Override
    public long position() {
      return next;
    }

    @Override
    public void close() {}
  }
}
