package io.faithfulsae.models.generate;

import java.nio.FloatBuffer;
import java.util.Arrays;

/** Draws tokens from probabilities. Not for use by several threads. */
final class Sampler {
  private final int vocabulary;
  private final double topP;
  private final long[] candidates;

  Sampler(int vocabulary, double topP) {
    this.vocabulary = vocabulary;
    this.topP = topP;
    this.candidates = new long[topP < 1 ? vocabulary : 0];
  }

  /**
   * Draws a token of a row.
   *
   * @param probabilities {@code [rows, vocabulary]}
   * @param uniform in [0, 1): the same number gives the same token
   */
  int draw(FloatBuffer probabilities, int row, double uniform) {
    int from = row * vocabulary;
    return topP < 1
        ? drawFromTop(probabilities, from, uniform)
        : drawFromAll(probabilities, from, uniform);
  }

  private int drawFromAll(FloatBuffer probabilities, int from, double uniform) {
    double sum = 0;
    int last = 0;
    for (int token = 0; token < vocabulary; token++) {
      float p = probabilities.get(from + token);
      if (p > 0) {
        sum += p;
        last = token;
        if (sum > uniform) {
          return token;
        }
      }
    }
    return last; // the floats sum to a little less than 1
  }

  /**
   * The smallest set of the likeliest tokens with at least topP of the mass; of equally likely ones
   * the lower come first.
   */
  private int drawFromTop(FloatBuffer probabilities, int from, double uniform) {
    int count = likely(probabilities, from);
    Arrays.sort(candidates, 0, count);
    double mass = 0;
    int kept = 0;
    while (kept < count && mass < topP) {
      mass += probability(candidates[kept++]);
    }
    double sum = 0;
    for (int i = 0; i < kept; i++) {
      sum += probability(candidates[i]);
      if (sum > uniform * mass) {
        return (int) candidates[i];
      }
    }
    return (int) candidates[kept - 1];
  }

  /**
   * Collects the tokens above a bound low enough to hold topP of the mass, so that only those are
   * sorted.
   */
  private int likely(FloatBuffer probabilities, int from) {
    for (float bound = 0.125f; ; bound /= 8) {
      boolean all = bound < 1e-12f;
      double mass = 0;
      int count = 0;
      for (int token = 0; token < vocabulary; token++) {
        float p = probabilities.get(from + token);
        if (p >= bound || all) {
          mass += p;
          // Positive floats order as their bits do; inverted, so that the likeliest sorts first.
          candidates[count++] = (long) ~Float.floatToRawIntBits(p) << 32 | token;
        }
      }
      if (all || mass >= topP) {
        return count;
      }
    }
  }

  private static float probability(long candidate) {
    return Float.intBitsToFloat(~(int) (candidate >> 32));
  }
}
