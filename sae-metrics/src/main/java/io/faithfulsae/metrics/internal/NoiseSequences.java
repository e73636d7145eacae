package io.faithfulsae.metrics.internal;

import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import java.util.Iterator;
import java.util.NoSuchElementException;

/**
 * Sequences of BOS and tokens drawn uniformly from the whole vocabulary. The last sequence may be
 * shorter, so that the number of random tokens is exactly the requested one.
 */
final class NoiseSequences implements Iterator<int[]> {
  private final long seed;
  private final int vocabulary;
  private final int bos;
  private final int length;
  private long left; // random tokens still to draw
  private int made;

  NoiseSequences(long tokens, int length, int vocabulary, int bos, long seed) {
    this.seed = seed;
    this.left = tokens;
    this.length = length;
    this.vocabulary = vocabulary;
    this.bos = bos;
  }

  @Override
  public boolean hasNext() {
    return left > 0;
  }

  @Override
  public int[] next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    Rng random = new Rng(Purpose.NOISE_TOKENS, seed, made++);
    int[] sequence = new int[(int) Math.min(length, left + 1)];
    left -= sequence.length - 1;
    sequence[0] = bos;
    for (int t = 1; t < sequence.length; t++) {
      sequence[t] = random.nextInt(vocabulary);
    }
    return sequence;
  }
}
