package io.faithfulsae.metrics.internal.probe;

/**
 * One text as a sparse vector.
 *
 * @param indices of the stored elements, ascending
 * @param values of the same elements
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
