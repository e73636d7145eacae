package io.faithfulsae.metrics.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.spi.Backend;
import java.io.IOException;

/** Reads a source in full batches. */
final class RowPasses {
  private static final int BATCH_ROWS = 1024;

  private RowPasses() {}

  /** What is done with a batch. */
  interface Use {
    /**
     * Uses it.
     *
     * @param in filled
     * @param room as large, for reconstructions
     */
    void accept(ActivationBatch in, ActivationBatch room);
  }

  /**
   * Reads at most so many rows.
   *
   * @return how many
   * @throws IllegalArgumentException if there are none or {@code maxRows < 1}
   */
  static long read(Backend backend, ActivationSource source, long maxRows, Use use)
      throws IOException {
    if (maxRows < 1) {
      throw new IllegalArgumentException(
          "expected maxRows >= 1, got " + maxRows + "; Long.MAX_VALUE reads all rows");
    }
    int capacity = capacity(maxRows);
    long rows = 0;
    try (ActivationReader reader = source.open(0);
        ActivationBatch in = ActivationBatch.allocate(backend, capacity, source.dIn());
        ActivationBatch room = ActivationBatch.allocate(backend, capacity, source.dIn())) {
      boolean more = true;
      while (more && rows < maxRows) {
        in.rows(0);
        while (more && in.rows() < capacity) {
          more = reader.read(in) >= 0;
        }
        in.rows((int) Math.min(in.rows(), maxRows - rows));
        rows += in.rows();
        use.accept(in, room);
      }
    }
    if (rows == 0) {
      throw new IllegalArgumentException(
          "expected at least one row of activations, got none from "
              + source.description()
              + "; give more data, or a filter that leaves some");
    }
    return rows;
  }

  /** The most rows of a batch. */
  static int capacity(long maxRows) {
    return (int) Math.min(BATCH_ROWS, maxRows);
  }
}
