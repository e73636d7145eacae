package io.faithfulsae.metrics.internal.probe;

/**
 * One text as a vector: its elements other than 0.
 *
 * @param indices ascending, from 0
 * @param values as many
 */
@SuppressWarnings("ArrayRecordComponent") // a view of memory, never compared
record FeatureRow(int[] indices, float[] values) {

  double squaredNorm() {
    double sum = 0;
    for (float value : values) {
      sum += (double) value * value;
    }
    return sum;
  }

  long nonZeros() {
    long count = 0;
    for (float value : values) {
      count += value == 0 ? 0 : 1;
    }
    return count;
  }
}
