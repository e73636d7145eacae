package io.faithfulsae.metrics.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** Reads a source in full batches. */
final class RowPasses {
  private static final int BATCH_ROWS = 1024;

  private RowPasses() {}

  /** Receives batches. */
  interface BatchConsumer {
    /**
     * Receives a batch.
     *
     * @param in the rows
     * @param scratch a batch of the same capacity, for reconstructions
     */
    void accept(ActivationBatch in, ActivationBatch scratch);
  }

  /** Receives batches of pairs. */
  interface PairConsumer {
    /**
     * Receives a batch.
     *
     * @param in what SAEs read
     * @param target what they should write: {@code in} itself unless they are transcoders
     * @param scratch a batch as wide as the target, for what they write
     */
    void accept(ActivationBatch in, ActivationBatch target, ActivationBatch scratch);
  }

  /**
   * Reads at most {@code maxRows} rows.
   *
   * @return the number of rows read
   * @throws IllegalArgumentException if there are none or {@code maxRows < 1}
   */
  static long read(Backend backend, ActivationSource source, long maxRows, BatchConsumer use)
      throws IOException {
    return read(backend, source, null, maxRows, (in, target, scratch) -> use.accept(in, scratch));
  }

  /**
   * Reads at most {@code maxRows} rows and, if there are targets, as many of those.
   *
   * @return the number of rows read
   * @throws IllegalArgumentException if there are none or {@code maxRows < 1}, or the targets are
   *     more or fewer
   */
  static long read(
      Backend backend,
      ActivationSource source,
      @Nullable ActivationSource targets,
      long maxRows,
      PairConsumer use)
      throws IOException {
    Expected.atLeast("maxRows", maxRows, 1, "use Long.MAX_VALUE to read all rows");
    int capacity = capacity(maxRows);
    int width = targets == null ? source.dIn() : targets.dIn();
    long rows = 0;
    try (ActivationReader reader = source.open(0);
        ActivationReader targetReader = targets == null ? null : targets.open(0);
        ActivationBatch in = ActivationBatch.allocate(backend, capacity, source.dIn());
        ActivationBatch target =
            targets == null ? null : ActivationBatch.allocate(backend, capacity, width);
        ActivationBatch scratch = ActivationBatch.allocate(backend, capacity, width)) {
      boolean more = true;
      while (more && rows < maxRows) {
        more = fill(in, reader);
        if (targetReader != null && target != null) {
          fill(target, targetReader);
          requirePairs(in.rows(), target.rows(), rows);
        }
        int used = (int) Math.min(in.rows(), maxRows - rows);
        in.rows(used);
        if (target != null) {
          target.rows(used);
        }
        rows += used;
        use.accept(in, target == null ? in : target, scratch);
      }
    }
    if (rows == 0) {
      throw new IllegalArgumentException(
          Expected.message(
              "at least one row of activations",
              "none from " + source.description(),
              "provide more data or use a less strict filter"));
    }
    return rows;
  }

  /** Fills a batch; false at the end of the source. */
  private static boolean fill(ActivationBatch batch, ActivationReader reader) throws IOException {
    boolean more = true;
    batch.rows(0);
    while (more && batch.rows() < batch.capacity()) {
      more = ActivationSources.read(reader, batch, null) >= 0;
    }
    return more;
  }

  private static void requirePairs(int rows, int targets, long before) {
    if (rows != targets) {
      throw new IllegalArgumentException(
          Expected.message(
              "as many targets as rows",
              "%d rows and %d targets from row %d on".formatted(rows, targets, before),
              "read both from the same text, with a filter that does not depend on their norms"));
    }
  }

  /** Capacity of a batch, in rows. */
  static int capacity(long maxRows) {
    return (int) Math.min(BATCH_ROWS, maxRows);
  }
}
