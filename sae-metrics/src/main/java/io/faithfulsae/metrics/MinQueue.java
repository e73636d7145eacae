package io.faithfulsae.metrics;

import java.util.Arrays;

/**
 * A binary min-heap of int entries with double keys, without boxing. An entry may occur several
 * times. The order of equal keys is unspecified but deterministic.
 */
final class MinQueue {
  private double[] keys = new double[256];
  private int[] entries = new int[256];
  private int size;

  void clear() {
    size = 0;
  }

  void add(double key, int entry) {
    if (size == keys.length) {
      keys = Arrays.copyOf(keys, 2 * size);
      entries = Arrays.copyOf(entries, 2 * size);
    }
    int at = size++;
    while (at > 0) {
      int parent = (at - 1) >>> 1;
      if (keys[parent] <= key) {
        break;
      }
      keys[at] = keys[parent];
      entries[at] = entries[parent];
      at = parent;
    }
    keys[at] = key;
    entries[at] = entry;
  }

  /** The key of the entry that {@link #remove} returns next; the queue must not be empty. */
  double leastKey() {
    return keys[0];
  }

  /** Removes an entry with the least key; the queue must not be empty. */
  int remove() {
    int least = entries[0];
    double key = keys[--size];
    int entry = entries[size];
    int at = 0;
    while (true) {
      int child = 2 * at + 1;
      if (child >= size) {
        break;
      }
      if (child + 1 < size && keys[child + 1] < keys[child]) {
        child++;
      }
      if (keys[child] >= key) {
        break;
      }
      keys[at] = keys[child];
      entries[at] = entries[child];
      at = child;
    }
    keys[at] = key;
    entries[at] = entry;
    return least;
  }
}
