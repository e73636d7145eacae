package io.faithfulsae.internal.metrics;

import io.faithfulsae.internal.Rng;
import io.faithfulsae.internal.Rng.Purpose;
import java.util.Iterator;
import java.util.NoSuchElementException;

/** Sequences of a BOS and tokens drawn uniformly from the whole vocabulary. */
final class NoiseSequences implements Iterator<int[]> {
  private final long seed;
  private final int vocabulary;
  private final int bos;
  private final int length;
  private final int count;
  private int made;

  NoiseSequences(int count, int length, int vocabulary, int bos, long seed) {
    this.seed = seed;
    this.count = count;
    this.length = length;
    this.vocabulary = vocabulary;
    this.bos = bos;
  }

  @Override
  public boolean hasNext() {
    return made < count;
  }

  @Override
  public int[] next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    Rng random = new Rng(Purpose.NOISE_TOKENS, seed, made++);
    int[] sequence = new int[length];
    sequence[0] = bos;
    for (int t = 1; t < length; t++) {
      sequence[t] = random.nextInt(vocabulary);
    }
    return sequence;
  }
}
