package io.faithfulsae.models;

import java.nio.FloatBuffer;

/**
 * The keys or values of one layer for all cached tokens, {@code [rows, groups, capacity, inner]},
 * and for the newest token, {@code [rows, groups, 1, inner]}. For values, a group is a head and
 * {@code inner} its width; for keys, a group is one dimension of a head and {@code inner} is 1.
 * Each is thus stored in the layout that its product with the queries or the attention weights
 * needs.
 */
final class CacheTensor {
  private final FloatBuffer kept;
  private final FloatBuffer fresh;
  private final int groups;
  private final int inner;

  /** Creates an empty tensor; {@code slots} is its maximum capacity. */
  CacheTensor(int rows, int slots, int groups, int inner) {
    this.groups = groups;
    this.inner = inner;
    long width = (long) rows * groups * inner;
    this.kept = FloatRows.allocate(slots, width);
    this.fresh = FloatRows.allocate(1, width);
  }

  FloatBuffer kept() {
    return kept;
  }

  FloatBuffer fresh() {
    return fresh;
  }

  /** Writes each row's newest token to a slot of that row. */
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

  /** Changes the capacity in place and keeps the used slots; growing moves the last block first. */
  void resize(int rows, int capacity, int wanted, int used) {
    int last = rows * groups - 1;
    for (int n = 1; n <= last; n++) {
      int i = wanted > capacity ? last + 1 - n : n;
      kept.put(i * wanted * inner, kept, i * capacity * inner, used * inner);
    }
  }

  /** Copies one row over another. */
  void move(int from, int to, int capacity) {
    int block = groups * capacity * inner;
    kept.put(to * block, kept, from * block, block);
  }
}
