package io.faithfulsae.synthetic.internal;

import org.apache.commons.math3.special.Erf;

/**
 * Compares numbers with {@code Q(x) = P(N(0, 1) > x)}. Q is decreasing, so its values at the ends
 * of a short interval decide nearly all comparisons without evaluating the error function.
 */
final class NormalTail {
  private static final int PER_UNIT = 64;
  private static final int BOUND = 6;
  private static final double[] AT = new double[2 * BOUND * PER_UNIT + 1];

  static {
    for (int i = 0; i < AT.length; i++) {
      AT[i] = tail((double) i / PER_UNIT - BOUND);
    }
  }

  private NormalTail() {}

  static double tail(double x) {
    return Erf.erfc(x / Math.sqrt(2)) / 2;
  }

  /** Whether {@code value < Q(x)}. */
  static boolean isBelow(double value, double x) {
    if (x > -BOUND && x < BOUND) {
      int cell = (int) ((x + BOUND) * PER_UNIT);
      if (value >= AT[cell]) {
        return false;
      }
      if (value < AT[cell + 1]) {
        return true;
      }
    }
    return value < tail(x);
  }
}
