package io.faithfulsae.metrics.internal;

import java.util.Arrays;

/**
 * The n-grams of sequences, as 64-bit hashes: among a hundred million distinct n-grams, the
 * probability of any collision is 3e-4.
 */
public final class NGrams {
  private final int n;
  private long[] hashes = new long[1024];
  private int count;

  /** Collects n-grams of one length. */
  public NGrams(int n) {
    this.n = n;
  }

  /** Adds all n-grams of a sequence. */
  public void add(int[] sequence) {
    for (int start = 0; start + n <= sequence.length; start++) {
      add(hash(sequence, start, n));
    }
  }

  /** Adds an n-gram by its hash. */
  void add(long hash) {
    if (count == hashes.length) {
      hashes = Arrays.copyOf(hashes, count + count / 2);
    }
    hashes[count++] = hash;
  }

  /** Hash of a run of tokens. */
  static long hash(int[] sequence, int start, int length) {
    long hash = length;
    for (int i = start; i < start + length; i++) {
      // The finalizer of splitmix64 over a running sum (Steele et al., 2014).
      hash = (hash + sequence[i] + 1) * 0x9E3779B97F4A7C15L;
      hash = (hash ^ (hash >>> 30)) * 0xBF58476D1CE4E5B9L;
      hash = (hash ^ (hash >>> 27)) * 0x94D049BB133111EBL;
      hash ^= hash >>> 31;
    }
    return hash;
  }

  /** Number of n-grams, counting repetitions. */
  public int total() {
    return count;
  }

  /** Hashes of the distinct n-grams, ascending. */
  public long[] distinct() {
    long[] sorted = Arrays.copyOf(hashes, count);
    Arrays.sort(sorted);
    int kept = 0;
    for (int i = 0; i < count; i++) {
      if (i == 0 || sorted[i] != sorted[i - 1]) {
        sorted[kept++] = sorted[i];
      }
    }
    return Arrays.copyOf(sorted, kept);
  }

  /** Number of hashes in the first array that are also in the second, which is ascending. */
  public static int common(long[] some, long[] others) {
    int found = 0;
    for (long hash : some) {
      found += Arrays.binarySearch(others, hash) >= 0 ? 1 : 0;
    }
    return found;
  }
}
