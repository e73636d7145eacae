package io.faithfulsae.metrics.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.spi.Backend;
import java.io.IOException;

/** Rows of a source, so many neighbours a sequence. */
final class SourceFeed implements SequenceFeed {
  private final ActivationSource source;
  private final Backend backend;
  private final int length;
  private final int least;
  private final int most;

  /**
   * Whole sequences of a source.
   *
   * @param length rows of a sequence
   * @param least sequences that there must be
   * @param most sequences that are read
   */
  SourceFeed(ActivationSource source, Backend backend, int length, int least, int most) {
    this.source = source;
    this.backend = backend;
    this.length = length;
    this.least = least;
    this.most = most;
  }

  @Override
  public String description() {
    return source.description();
  }

  @Override
  public int sequences() {
    return most;
  }

  @Override
  public void run(Taker taker) throws IOException {
    int perBatch = Math.min(most, Math.max(1, SequenceBatches.TOKENS / length));
    int seen = 0;
    try (ActivationReader reader = source.open(0);
        ActivationBatch batch =
            ActivationBatch.allocate(backend, perBatch * length, source.dIn())) {
      boolean more = true;
      while (more && seen < most) {
        batch.rows(0);
        while (more && batch.rows() < batch.capacity()) {
          more = reader.read(batch) >= 0;
        }
        int sequences = Math.min(batch.rows() / length, most - seen);
        batch.rows(sequences * length);
        if (sequences > 0) {
          taker.take(new Whole(batch), sequences, length);
        }
        seen += sequences;
      }
    }
    if (seen < least) {
      throw tooFew(seen);
    }
  }

  @Override
  public IllegalArgumentException nothing() {
    return tooFew(0);
  }

  private IllegalArgumentException tooFew(int seen) {
    return new IllegalArgumentException(
        "expected at least %d sequences of %d rows, got %d from %s; give more rows, or ask for fewer"
            .formatted(least, length, seen, source.description()));
  }

  /** All rows of a batch. */
  private record Whole(ActivationBatch kept) implements SequenceRows {
    @Override
    public int keptRows() {
      return kept.rows();
    }

    @Override
    public int position(int keptRow) {
      return keptRow;
    }

    @Override
    public double norms() {
      float[] row = new float[kept.dIn()];
      double sum = 0;
      for (int r = 0; r < kept.rows(); r++) {
        kept.data().get(r * row.length, row);
        sum += HookRows.norm(row);
      }
      return sum;
    }
  }
}
