package io.faithfulsae.models.generate;

import io.faithfulsae.io.Expected;
import java.nio.FloatBuffer;
import java.util.Arrays;

/** Draws tokens from probabilities. Not thread-safe. */
final class Sampler {
  private static final int EXPONENT_SHIFT = 23;

  private final int vocabulary;
  private final double topP;
  private final long[] candidates;
  private final float[] row;

  /** Number of values of sign and exponent; NaN has the highest. */
  private final double[] massByExponent = new double[512];

  Sampler(int vocabulary, double topP) {
    this.vocabulary = vocabulary;
    this.topP = topP;
    this.candidates = new long[topP < 1 ? vocabulary : 0];
    this.row = new float[vocabulary];
  }

  /**
   * Draws one row's token.
   *
   * @param probabilities {@code [rows, vocabulary]}
   * @param uniform in [0, 1): the same number gives the same token
   * @throws IllegalStateException if the probabilities are NaN
   */
  int draw(FloatBuffer probabilities, int row, double uniform) {
    int from = row * vocabulary;
    return topP < 1
        ? drawFromTop(probabilities, from, uniform)
        : drawFromAll(probabilities, from, uniform);
  }

  private int drawFromAll(FloatBuffer probabilities, int from, double uniform) {
    probabilities.get(from, row);
    // Rounded to floats, they do not sum to exactly 1; the last tokens must not absorb the
    // difference.
    double total = 0;
    for (float p : row) {
      total += p > 0 ? p : 0;
    }
    if (total == 0) {
      throw notProbabilities();
    }
    double sum = 0;
    int last = 0;
    for (int token = 0; token < vocabulary; token++) {
      float p = row[token];
      if (p > 0) {
        sum += p;
        last = token;
        if (sum > uniform * total) {
          return token;
        }
      }
    }
    return last; // reached if uniform * total rounds to total
  }

  /**
   * The smallest set of the likeliest tokens with a total of at least topP; ties go to the lower
   * id.
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
    if (kept == 0) {
      throw notProbabilities();
    }
    return (int) candidates[kept - 1];
  }

  /**
   * Collects the tokens above a bound low enough that they hold topP of the mass, so that only
   * those need sorting. The bound is a power of two: mass is first summed by the floats' exponents.
   */
  private int likely(FloatBuffer probabilities, int from) {
    probabilities.get(from, row);
    Arrays.fill(massByExponent, 0);
    for (float p : row) {
      massByExponent[Float.floatToRawIntBits(p) >>> EXPONENT_SHIFT] += p;
    }
    int exponent = massByExponent.length;
    // Slightly above topP: summed in another order, the same floats may fall short of it.
    for (double mass = 0; exponent > 0 && mass < topP + 1e-9; ) {
      mass += massByExponent[--exponent];
    }
    float bound = Float.intBitsToFloat(exponent << EXPONENT_SHIFT);
    int count = 0;
    for (int token = 0; token < vocabulary; token++) {
      if (row[token] >= bound) {
        // Positive floats sort like their bits; inverted, so that the likeliest comes first.
        candidates[count++] = (long) ~Float.floatToRawIntBits(row[token]) << 32 | token;
      }
    }
    return count;
  }

  private static IllegalStateException notProbabilities() {
    return new IllegalStateException(
        Expected.message(
            "probabilities from the model", "NaN", "check that its weights are finite"));
  }

  private static float probability(long candidate) {
    return Float.intBitsToFloat(~(int) (candidate >> 32));
  }
}
