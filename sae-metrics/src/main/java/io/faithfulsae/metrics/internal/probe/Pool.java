package io.faithfulsae.metrics.internal.probe;

import io.faithfulsae.metrics.Probing.Pooling;
import java.util.Arrays;
import java.util.stream.IntStream;

/** Pools the rows of each text into one vector, text by text. */
final class Pool {
  private final Pooling pooling;
  private final float[] pooled;
  private final int[] seen; // in how many rows
  private final int[] touched;
  private final int[] all;
  private int touchedCount;
  private int rows;

  /** Creates a pool for rows of the given width. */
  Pool(Pooling pooling, int width) {
    this.pooling = pooling;
    this.pooled = new float[width];
    this.seen = new int[width];
    this.touched = new int[width];
    this.all = IntStream.range(0, width).toArray();
  }

  /** Starts the next row of the text. */
  void row() {
    rows++;
    if (pooling == Pooling.LAST) {
      clear();
    }
  }

  /** Adds an element of the current row; elements not added are 0. */
  void add(int index, float value) {
    if (seen[index]++ == 0) {
      touched[touchedCount++] = index;
      // It was 0 in the earlier rows.
      pooled[index] = pooling == Pooling.MAX && rows > 1 ? Math.max(0, value) : value;
    } else {
      pooled[index] =
          pooling == Pooling.MAX ? Math.max(pooled[index], value) : pooled[index] + value;
    }
  }

  /** Ends the text and returns the elements that were added to any row. */
  FeatureRow sparse() {
    int[] indices = Arrays.copyOf(touched, touchedCount);
    if (pooling == Pooling.MAX) {
      for (int index : indices) {
        if (seen[index] < rows) { // it was 0 in the others
          pooled[index] = Math.max(0, pooled[index]);
        }
      }
    }
    Arrays.sort(indices);
    return end(indices);
  }

  /** Ends the text and returns all elements. Every row must have added all of them. */
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
      seen[touched[i]] = 0;
      pooled[touched[i]] = 0;
    }
    touchedCount = 0;
  }
}
