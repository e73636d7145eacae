package io.faithfulsae.metrics.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Backend;
import java.io.IOException;

/** Rows of a source, cut into sequences of equal length. */
final class SourceFeed implements SequenceFeed {
  private final ActivationSource source;
  private final Backend backend;
  private final int length;
  private final int minSequences;
  private final int maxSequences;

  /**
   * Reads whole sequences from a source.
   *
   * @param length rows per sequence
   * @param minSequences minimum number of sequences; fewer are an error
   * @param maxSequences maximum number of sequences to read
   */
  SourceFeed(
      ActivationSource source, Backend backend, int length, int minSequences, int maxSequences) {
    this.source = source;
    this.backend = backend;
    this.length = length;
    this.minSequences = minSequences;
    this.maxSequences = maxSequences;
  }

  @Override
  public String description() {
    return source.description();
  }

  @Override
  public int sequences() {
    return maxSequences;
  }

  @Override
  public void run(BatchConsumer use) throws IOException {
    int perBatch = Math.min(maxSequences, Math.max(1, SequenceBatches.TOKENS / length));
    int seen = 0;
    try (ActivationReader reader = source.open(0);
        ActivationBatch batch =
            ActivationBatch.allocate(backend, perBatch * length, source.dIn())) {
      boolean more = true;
      while (more && seen < maxSequences) {
        batch.rows(0);
        while (more && batch.rows() < batch.capacity()) {
          more = ActivationSources.read(reader, batch, null) >= 0;
        }
        int sequences = Math.min(batch.rows() / length, maxSequences - seen);
        batch.rows(sequences * length);
        if (sequences > 0) {
          use.accept(new Whole(batch), sequences, length);
        }
        seen += sequences;
      }
    }
    if (seen < minSequences) {
      throw tooFew(seen);
    }
  }

  @Override
  public IllegalArgumentException noRows() {
    return tooFew(0);
  }

  private IllegalArgumentException tooFew(int seen) {
    return new IllegalArgumentException(
        Expected.message(
            "at least %d sequences of %d rows".formatted(minSequences, length),
            "%d from %s".formatted(seen, source.description()),
            "provide more rows or reduce the number of sequences"));
  }

  /** A batch without excluded rows. */
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
