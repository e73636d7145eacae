package io.faithfulsae.metrics.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Backend;
import java.io.IOException;

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

  /**
   * Reads at most {@code maxRows} rows.
   *
   * @return the number of rows read
   * @throws IllegalArgumentException if there are none or {@code maxRows < 1}
   */
  static long read(Backend backend, ActivationSource source, long maxRows, BatchConsumer use)
      throws IOException {
    Expected.atLeast("maxRows", maxRows, 1, "use Long.MAX_VALUE to read all rows");
    int capacity = capacity(maxRows);
    long rows = 0;
    try (ActivationReader reader = source.open(0);
        ActivationBatch in = ActivationBatch.allocate(backend, capacity, source.dIn());
        ActivationBatch scratch = ActivationBatch.allocate(backend, capacity, source.dIn())) {
      boolean more = true;
      while (more && rows < maxRows) {
        in.rows(0);
        while (more && in.rows() < capacity) {
          more = reader.read(in) >= 0;
        }
        in.rows((int) Math.min(in.rows(), maxRows - rows));
        rows += in.rows();
        use.accept(in, scratch);
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

  /** Capacity of a batch, in rows. */
  static int capacity(long maxRows) {
    return (int) Math.min(BATCH_ROWS, maxRows);
  }
}
