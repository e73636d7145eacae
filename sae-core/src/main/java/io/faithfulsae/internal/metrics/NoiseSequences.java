package io.faithfulsae.internal.metrics;

import java.util.Iterator;
import java.util.NoSuchElementException;
import org.apache.commons.math3.random.RandomGenerator;

/**
 * Sequences of a BOS and tokens drawn uniformly from the whole vocabulary, so many in all; the last
 * sequence may be shorter.
 */
final class NoiseSequences implements Iterator<int[]> {
  private final RandomGenerator random;
  private final int vocabulary;
  private final int bos;
  private final int length;
  private long left; // random tokens

  NoiseSequences(long tokens, int length, int vocabulary, int bos, long seed) {
    this.random = Bootstrap.random(seed);
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
    if (left <= 0) {
      throw new NoSuchElementException();
    }
    int[] sequence = new int[(int) Math.min(length, left + 1)];
    left -= sequence.length - 1;
    sequence[0] = bos;
    for (int t = 1; t < sequence.length; t++) {
      sequence[t] = random.nextInt(vocabulary);
    }
    return sequence;
  }
}
