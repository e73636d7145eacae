package io.faithfulsae.metrics.internal;

import java.util.Arrays;
import org.apache.commons.math3.random.RandomGenerator;

/**
 * Bootstrap of the number of latents whose firing rate exceeds a threshold: blocks are drawn with
 * replacement, and a rate is the number of firings in the drawn blocks over their tokens (or
 * sequences).
 *
 * <p>A resampled rate lies between the smallest and the largest rate of any block, so only latents
 * with blocks on both sides of the threshold need counting, and those are few.
 */
final class BlockResampler {
  /** Resamples per tile: their weights stay in cache while all latents are counted. */
  private static final int TILE = 64;

  private final int[][] counts; // [blocks][latents]
  private final long[] units; // [blocks]

  BlockResampler(int[][] counts, long[] units) {
    this.counts = counts;
    this.units = units;
  }

  /** The number of latents above {@code rate} in each resample. */
  int[] countsAbove(double rate, int resamples, RandomGenerator random) {
    int latents = counts[0].length;
    int always = 0;
    int[][] undecided = new int[latents][];
    int undecidedCount = 0;
    for (int latent = 0; latent < latents; latent++) {
      boolean some = false;
      boolean all = true;
      for (int block = 0; block < units.length; block++) {
        if (units[block] > 0) {
          boolean above = (double) counts[block][latent] / units[block] > rate;
          some |= above;
          all &= above;
        }
      }
      if (all) {
        always++;
      } else if (some) {
        undecided[undecidedCount++] = column(latent);
      }
    }
    int[] result = new int[resamples];
    Arrays.fill(result, always);
    int[][] weights = new int[TILE][units.length];
    double[] totals = new double[TILE];
    for (int first = 0; first < resamples; first += TILE) {
      int count = Math.min(TILE, resamples - first);
      for (int b = 0; b < count; b++) {
        totals[b] = draw(weights[b], random);
      }
      for (int c = 0; c < undecidedCount; c++) {
        for (int b = 0; b < count; b++) {
          result[first + b] += dot(weights[b], undecided[c]) / totals[b] > rate ? 1 : 0;
        }
      }
    }
    return result;
  }

  private int[] column(int latent) {
    int[] column = new int[units.length];
    for (int block = 0; block < column.length; block++) {
      column[block] = counts[block][latent];
    }
    return column;
  }

  /**
   * Draws as many blocks as there are; redraws in the rare case that all drawn blocks are empty.
   */
  private double draw(int[] weight, RandomGenerator random) {
    long total = 0;
    while (total == 0) {
      Arrays.fill(weight, 0);
      for (int i = 0; i < weight.length; i++) {
        int block = random.nextInt(weight.length);
        weight[block]++;
        total += units[block];
      }
    }
    return total;
  }

  private static double dot(int[] weight, int[] count) {
    int sum = 0; // at most the units of all blocks; Options keeps them well within an int
    for (int block = 0; block < weight.length; block++) {
      sum += weight[block] * count[block];
    }
    return sum;
  }
}
