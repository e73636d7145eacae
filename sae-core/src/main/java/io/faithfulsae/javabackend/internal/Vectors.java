package io.faithfulsae.javabackend.internal;

/**
 * The inner loops. Each has the form that HotSpot's C2 turns into vector instructions: one index,
 * no offsets, one array written. Four terms at once quarter the traffic of the sum; with more, or
 * with a second sum, C2 no longer vectorises.
 */
final class Vectors {
  private Vectors() {}

  /** {@code sum += a x}. */
  static void add(float[] sum, float a, float[] x) {
    for (int i = 0; i < sum.length; i++) {
      sum[i] += a * x[i];
    }
  }

  /** {@code sum += a x + b y + c z + d w}, added from left to right. */
  static void add(
      float[] sum, float a, float[] x, float b, float[] y, float c, float[] z, float d, float[] w) {
    for (int i = 0; i < sum.length; i++) {
      sum[i] = sum[i] + a * x[i] + b * y[i] + c * z[i] + d * w[i];
    }
  }

  /**
   * {@code sum += Σ factors_j vectors[indices_j]} over the entries {@code [from, to)}, in order.
   */
  static void add(
      float[] sum, float[] factors, int[] indices, int from, int to, float[][] vectors) {
    int at = from;
    for (; at + 4 <= to; at += 4) {
      add(
          sum,
          factors[at],
          vectors[indices[at]],
          factors[at + 1],
          vectors[indices[at + 1]],
          factors[at + 2],
          vectors[indices[at + 2]],
          factors[at + 3],
          vectors[indices[at + 3]]);
    }
    for (; at < to; at++) {
      add(sum, factors[at], vectors[indices[at]]);
    }
  }

  /** {@code x *= a}. */
  static void scale(float[] x, float a) {
    for (int i = 0; i < x.length; i++) {
      x[i] *= a;
    }
  }

  /** Sums in double precision of columns: {@code sum += x}. */
  static void add(double[] sum, float[] x) {
    for (int i = 0; i < sum.length; i++) {
      sum[i] += x[i];
    }
  }

  /** In eight float32 sums: C2 does not vectorise one whose order it would change. */
  static float dot(float[] x, float[] y) {
    float a = 0;
    float b = 0;
    float c = 0;
    float d = 0;
    float e = 0;
    float f = 0;
    float g = 0;
    float h = 0;
    int n = Math.min(x.length, y.length);
    int i = 0;
    for (; i + 8 <= n; i += 8) {
      a += x[i] * y[i];
      b += x[i + 1] * y[i + 1];
      c += x[i + 2] * y[i + 2];
      d += x[i + 3] * y[i + 3];
      e += x[i + 4] * y[i + 4];
      f += x[i + 5] * y[i + 5];
      g += x[i + 6] * y[i + 6];
      h += x[i + 7] * y[i + 7];
    }
    for (; i < n; i++) {
      a += x[i] * y[i];
    }
    return ((a + b) + (c + d)) + ((e + f) + (g + h));
  }

  /** {@code Σ x²} in double precision. */
  static double squares(float[] x) {
    double even = 0;
    double odd = 0;
    int i = 0;
    for (; i + 2 <= x.length; i += 2) {
      even += (double) x[i] * x[i];
      odd += (double) x[i + 1] * x[i + 1];
    }
    if (i < x.length) {
      even += (double) x[i] * x[i];
    }
    return even + odd;
  }
}
