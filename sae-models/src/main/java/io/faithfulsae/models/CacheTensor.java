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

  /** Puts each row's newest token into a slot of the row. */
  void append(int rows, int capacity, int[] slots) {
    for (int i = 0; i < rows * groups; i++) {
      int to = (i * capacity + slots[i / groups]) * inner;
      if (inner == 1) {
        kept.put(to, fresh.get(i));
      } else {
        kept.put(to, fresh, i * inner, inner);
      }
    }
  }

  /** Lays the first slots out in place for another capacity, from the end where they move apart. */
  void resize(int rows, int capacity, int wanted, int used) {
    int last = rows * groups - 1;
    for (int n = 1; n <= last; n++) {
      int i = wanted > capacity ? last + 1 - n : n;
      kept.put(i * wanted * inner, kept, i * capacity * inner, used * inner);
    }
  }

  /** Copies a row over another. */
  void move(int from, int to, int capacity) {
    int block = groups * capacity * inner;
    kept.put(to * block, kept, from * block, block);
  }
}
