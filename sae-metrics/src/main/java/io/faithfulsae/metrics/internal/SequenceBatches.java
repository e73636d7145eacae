package io.faithfulsae.metrics.internal;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;

/**
 * Groups consecutive sequences of equal length into batches, as {@link
 * io.faithfulsae.LanguageModel} requires. Sequences of fewer than two tokens are skipped: nothing
 * is predicted in them.
 */
public final class SequenceBatches implements Iterator<int[][]> {
  /** Tokens per batch if there is no tighter limit. */
  public static final int TOKENS = 4096;

  private final Iterator<int[]> sequences;
  private final int batchTokens;
  private final List<int[]> pending = new ArrayList<>();

  /**
   * Groups sequences.
   *
   * @param batchTokens maximum number of tokens per batch; a longer sequence is a batch of its own
   */
  SequenceBatches(Iterator<int[]> sequences, int batchTokens) {
    this.sequences = sequences;
    this.batchTokens = batchTokens;
    takeOne();
  }

  @Override
  public boolean hasNext() {
    return !pending.isEmpty();
  }

  @Override
  public int[][] next() {
    if (pending.isEmpty()) {
      throw new NoSuchElementException();
    }
    int length = pending.get(0).length;
    int max = Math.max(1, batchTokens / length);
    while (pending.size() < max && takeOne()) {
      if (pending.get(pending.size() - 1).length != length) {
        int[] other = pending.remove(pending.size() - 1);
        int[][] batch = takeAll();
        pending.add(other);
        return batch;
      }
    }
    int[][] batch = takeAll();
    takeOne();
    return batch;
  }

  private boolean takeOne() {
    while (sequences.hasNext()) {
      int[] sequence = sequences.next();
      if (sequence.length >= 2) {
        pending.add(sequence);
        return true;
      }
    }
    return false;
  }

  private int[][] takeAll() {
    int[][] batch = pending.toArray(new int[0][]);
    pending.clear();
    return batch;
  }
}
