package io.faithfulsae.javabackend.internal;

import java.util.Arrays;

/**
 * The largest values of a batch, whose rows may come in any order and from several threads. Of
 * equal values the first are kept, by row and then by index. NaN counts as largest.
 *
 * <p>Values are counted by their upper bits; what cannot be among the largest any more is dropped
 * at once, so that little more is stored than is kept. What is kept does not depend on the order.
 */
final class BatchSelection {
  private static final int SHIFT = 16; // leaves a float's exponent and 7 bits of its mantissa
  private static final int BINS = 1 << (31 - SHIFT);

  private final long count;
  private final float[] rank;
  private final Kept candidates;
  private final long[] bins = new long[BINS];
  private long total; // in bins from the least on
  private volatile int least; // values of lower bins are not among the largest

  /**
   * @param count how many to keep
   * @param rank what values are multiplied by before they are compared
   */
  BatchSelection(int rows, long count, float[] rank) {
    this.count = count;
    this.rank = rank;
    this.candidates = new Kept(rows);
  }

  private float size(int latent, float value) {
    return value * rank[latent];
  }

  private static int bin(float size) {
    return Float.floatToIntBits(size) >> SHIFT;
  }

  /** Offers a row; values at or below 0 do not count. */
  void offer(int row, float[] z) {
    int[] index = new int[64];
    int n = 0;
    int from = least;
    for (int j = 0; j < z.length; j++) {
      float size = size(j, z[j]);
      if (!(size <= 0) && bin(size) >= from) {
        if (n == index.length) {
          index = Arrays.copyOf(index, 2 * n);
        }
        index[n++] = j;
      }
    }
    candidates.set(row, Arrays.copyOf(index, n), z);
    count(candidates.indices[row], candidates.values[row]);
  }

  private synchronized void count(int[] index, float[] value) {
    for (int i = 0; i < index.length; i++) {
      int bin = bin(size(index[i], value[i]));
      if (bin >= least) {
        bins[bin]++;
        total++;
      }
    }
    while (total - bins[least] >= count) {
      total -= bins[least];
      least++;
    }
  }

  /** What is kept, once all rows have been offered. Rows are in order of index. */
  Kept kept() {
    long cut = total <= count ? Long.MIN_VALUE : cut((int) (total - count));
    Kept kept = new Kept(candidates.rows());
    int number = 0; // of a value in the least bin
    for (int row = 0; row < kept.rows(); row++) {
      int[] index = candidates.indices[row];
      float[] value = candidates.values[row];
      int n = 0;
      int[] of = new int[index.length];
      float[] z = new float[index.length];
      for (int i = 0; i < index.length; i++) {
        float size = size(index[i], value[i]);
        int bin = bin(size);
        if (bin > least || (bin == least && key(size, number++) >= cut)) {
          of[n] = index[i];
          z[n++] = value[i];
        }
      }
      kept.indices[row] = Arrays.copyOf(of, n);
      kept.values[row] = Arrays.copyOf(z, n);
    }
    return kept;
  }

  /** The key of the first that is kept in the least bin, of which so many are too much. */
  private long cut(int surplus) {
    long[] keys = new long[(int) bins[least]];
    int n = 0;
    for (int row = 0; row < candidates.rows(); row++) {
      for (int i = 0; i < candidates.indices[row].length; i++) {
        float size = size(candidates.indices[row][i], candidates.values[row][i]);
        if (bin(size) == least) {
          keys[n] = key(size, n);
          n++;
        }
      }
    }
    Arrays.sort(keys);
    return keys[surplus];
  }

  /** Ordered by size, then with the first ones last. */
  private static long key(float size, int number) {
    return ((long) Float.floatToIntBits(size) << 32) | (Integer.MAX_VALUE - number);
  }
}
