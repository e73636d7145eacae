package io.faithfulsae.metrics.internal.probe;

import io.faithfulsae.metrics.Probing.Pooling;
import java.util.Arrays;
import java.util.stream.IntStream;

/** Pools the rows of one text after the other to one vector each. */
final class Pool {
  private final Pooling pooling;
  private final float[] pooled;
  private final boolean[] seen;
  private final int[] touched;
  private final int[] all;
  private int touchedCount;
  private int rows;

  /** Pools rows of a width. */
  Pool(Pooling pooling, int width) {
    this.pooling = pooling;
    this.pooled = new float[width];
    this.seen = new boolean[width];
    this.touched = new int[width];
    this.all = IntStream.range(0, width).toArray();
  }

  /** Begins the next row of the text. */
  void row() {
    rows++;
    if (pooling == Pooling.LAST) {
      clear();
    }
  }

  /** Adds an element of the row that was begun; one that is not added is 0. */
  void add(int index, float value) {
    if (!seen[index]) {
      seen[index] = true;
      touched[touchedCount++] = index;
      // In an earlier row that did not have it, it was 0.
      pooled[index] = pooling == Pooling.MAX && rows > 1 ? Math.max(0, value) : value;
    } else {
      pooled[index] =
          pooling == Pooling.MAX ? Math.max(pooled[index], value) : pooled[index] + value;
    }
  }

  /** Ends the text: its elements other than 0. Only for elements that are never negative. */
  FeatureRow sparse() {
    int[] indices = Arrays.copyOf(touched, touchedCount);
    Arrays.sort(indices);
    return end(indices);
  }

  /** Ends the text: all elements. Each row must have given all. */
  FeatureRow dense() {
    return end(all);
  }

  private FeatureRow end(int[] indices) {
    float[] values = new float[indices.length];
    for (int i = 0; i < values.length; i++) {
      float value = pooled[indices[i]];
      values[i] = pooling == Pooling.MEAN && rows > 0 ? value / rows : value;
    }
    clear();
    rows = 0;
    return new FeatureRow(indices, values);
  }

  private void clear() {
    for (int i = 0; i < touchedCount; i++) {
      seen[touched[i]] = false;
      pooled[touched[i]] = 0;
    }
    touchedCount = 0;
  }
}
