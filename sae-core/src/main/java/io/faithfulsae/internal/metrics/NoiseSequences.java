package io.faithfulsae.internal.metrics;

import java.util.Iterator;
import java.util.NoSuchElementException;
import org.apache.commons.math3.random.RandomGenerator;

/** Sequences of a BOS and tokens drawn uniformly from the whole vocabulary. */
final class NoiseSequences implements Iterator<int[]> {
  private final RandomGenerator random;
  private final int vocabulary;
  private final int bos;
  private final int length;
  private int left;

  NoiseSequences(int count, int length, int vocabulary, int bos, long seed) {
    this.random = Bootstrap.random(seed);
    this.left = count;
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
    if (left-- <= 0) {
      throw new NoSuchElementException();
    }
    int[] sequence = new int[length];
    sequence[0] = bos;
    for (int t = 1; t < length; t++) {
      sequence[t] = random.nextInt(vocabulary);
    }
    return sequence;
  }
}
