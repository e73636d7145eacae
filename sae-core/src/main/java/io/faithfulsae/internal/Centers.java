package io.faithfulsae.internal;

/** Centers of a set of rows, for the initial decoder bias. */
public final class Centers {
  private static final int MAX_ITERATIONS = 200;
  private static final double TOLERANCE = 1e-7;

  private Centers() {}

  /** Mean of rows {@code [n, dIn]}. */
  public static double[] mean(float[] rows, int dIn) {
    double[] mean = new double[dIn];
    int count = rows.length / dIn;
    for (int at = 0; at < rows.length; at++) {
      mean[at % dIn] += rows[at];
    }
    for (int i = 0; i < dIn; i++) {
      mean[i] /= count;
    }
    return mean;
  }

  /** The geometric median of rows {@code [n, dIn]}, by Weiszfeld's iteration from the mean. */
  public static double[] geometricMedian(float[] rows, int dIn) {
    double[] median = mean(rows, dIn);
    for (int iteration = 0; iteration < MAX_ITERATIONS; iteration++) {
      double[] next = new double[dIn];
      double weights = 0;
      for (int at = 0; at < rows.length; at += dIn) {
        double weight = 1 / Math.max(1e-12, distance(rows, at, median));
        weights += weight;
        for (int i = 0; i < dIn; i++) {
          next[i] += weight * rows[at + i];
        }
      }
      double moved = 0;
      double length = 0;
      for (int i = 0; i < dIn; i++) {
        next[i] /= weights;
        moved += (next[i] - median[i]) * (next[i] - median[i]);
        length += next[i] * next[i];
      }
      median = next;
      if (moved <= TOLERANCE * TOLERANCE * length) {
        break;
      }
    }
    return median;
  }

  private static double distance(float[] rows, int at, double[] point) {
    double squares = 0;
    for (int i = 0; i < point.length; i++) {
      double difference = rows[at + i] - point[i];
      squares += difference * difference;
    }
    return Math.sqrt(squares);
  }
}
