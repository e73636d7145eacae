package io.faithfulsae.models;

import java.nio.FloatBuffer;

/**
 * The keys or the values of one layer, and those of the newest token: {@code [rows, groups,
 * capacity, inner]} and {@code [rows, groups, 1, inner]}. A group of values is a head, {@code
 * inner} its width; a group of keys is one dimension of a head and {@code inner} is 1, so that each
 * lies as its product with the queries or the weights wants it.
 */
final class CacheTensor {
  private final FloatBuffer kept;
  private final FloatBuffer fresh;
  private final int groups;
  private final int inner;

  /** Empty; {@code slots} is the largest capacity that it will have. */
  CacheTensor(int rows, int slots, int groups, int inner) {
    this.groups = groups;
    this.inner = inner;
    long width = (long) rows * groups * inner;
    this.kept = OnnxModel.floats(slots, width);
    this.fresh = OnnxModel.floats(1, width);
  }

  FloatBuffer kept() {
    return kept;
  }

  FloatBuffer fresh() {
    return fresh;
  }

  /** Puts the newest token into a slot. */
  void append(int rows, int capacity, int slot) {
    for (int i = 0; i < rows * groups; i++) {
      int to = (i * capacity + slot) * inner;
      if (inner == 1) {
        kept.put(to, fresh.get(i));
      } else {
        kept.put(to, fresh, i * inner, inner);
      }
    }
  }

  /** Spreads the slots out in place, from the end, to a larger capacity. */
  void grow(int rows, int capacity, int wider) {
    for (int i = rows * groups - 1; i > 0; i--) {
      kept.put(i * wider * inner, kept, i * capacity * inner, capacity * inner);
    }
  }

  /** Copies a row over another. */
  void move(int from, int to, int capacity) {
    int block = groups * capacity * inner;
    kept.put(to * block, kept, from * block, block);
  }
}
