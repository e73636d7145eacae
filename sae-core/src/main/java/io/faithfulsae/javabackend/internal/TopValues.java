package io.faithfulsae.javabackend.internal;

import java.util.Arrays;

/**
 * The k largest of the values that are offered, in order of value, descending, then of index,
 * ascending. NaN counts as largest, so that an overflow is not lost without a trace. Indices must
 * be offered in ascending order. It keeps up to twice k candidates and sorts them when they are
 * full, so that most values cost one comparison.
 */
final class TopValues {
  private final int k;
  private final long[] keys; // (value as an integer of the same order, complement of the index)
  private int size;
  private float above; // what a value must exceed to be among the k largest

  /**
   * @param above only values above it are kept: 0, or minus infinity for all
   */
  TopValues(int k, float above) {
    this.k = k;
    this.keys = new long[(int) Math.min(Integer.MAX_VALUE - 8, 2L * k + 16)];
    this.above = above;
  }

  void offer(int index, float value) {
    if (!(value <= above)) { // NaN is kept, before all others
      keys[size++] = ((long) ordered(value) << 32) | (Integer.MAX_VALUE - index);
      if (size == keys.length) {
        shrink();
        // An equal value has a higher index.
        above = Float.intBitsToFloat(ordered((int) (keys[0] >> 32)));
      }
    }
  }

  /** Its own inverse: the bits of a float as an integer that is ordered as floats are. */
  private static int ordered(int bits) {
    return bits ^ ((bits >> 31) & Integer.MAX_VALUE);
  }

  private static int ordered(float value) {
    return ordered(Float.floatToIntBits(value));
  }

  private void shrink() {
    Arrays.sort(keys, 0, size);
    if (size > k) {
      System.arraycopy(keys, size - k, keys, 0, k);
      size = k;
    }
  }

  /** The indices, best first; then nothing more may be offered. */
  int[] indices() {
    shrink();
    int[] indices = new int[size];
    for (int i = 0; i < size; i++) {
      indices[i] = Integer.MAX_VALUE - (int) keys[size - 1 - i];
    }
    return indices;
  }
}
