package io.faithfulsae.metrics.internal;

import java.util.Arrays;

/**
 * The n-grams of sequences, by 64-bit hashes: among a hundred million different ones two share a
 * hash with probability 3e-4.
 */
public final class NGrams {
  private final int n;
  private long[] hashes = new long[1024];
  private int count;

  /** Collects n-grams of this n. */
  public NGrams(int n) {
    this.n = n;
  }

  /** Adds those of a sequence. */
  public void add(int[] sequence) {
    for (int start = 0; start + n <= sequence.length; start++) {
      add(hash(sequence, start, n));
    }
  }

  /** Adds one by its hash. */
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
      // The finaliser of splitmix64 over a running sum (Steele et al., 2014).
      hash = (hash + sequence[i] + 1) * 0x9E3779B97F4A7C15L;
      hash = (hash ^ (hash >>> 30)) * 0xBF58476D1CE4E5B9L;
      hash = (hash ^ (hash >>> 27)) * 0x94D049BB133111EBL;
      hash ^= hash >>> 31;
    }
    return hash;
  }

  /** Number of n-grams, repeated ones counted each time. */
  public int total() {
    return count;
  }

  /** The different ones' hashes, ascending. */
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

  /** How many of some ascending hashes are among others. */
  public static int common(long[] some, long[] others) {
    int found = 0;
    for (long hash : some) {
      found += Arrays.binarySearch(others, hash) >= 0 ? 1 : 0;
    }
    return found;
  }
}
