package io.faithfulsae.metrics;

import io.faithfulsae.io.Expected;
import java.util.Arrays;
import java.util.List;

/**
 * Counts of values in bins of equal width.
 *
 * <p>Bin i holds the values v with {@code low + i·w <= v < low + (i + 1)·w}, where w = (high − low)
 * / number of bins; the last bin also holds {@code high}. Values outside the range are counted in
 * the first or last bin, so the counts add up to the number of values.
 *
 * @param low lower edge of the first bin
 * @param high upper edge of the last bin
 * @param counts values in each bin
 */
public record Histogram(double low, double high, List<Long> counts) {

  /**
   * Checks the edges and copies the counts.
   *
   * @throws IllegalArgumentException if {@code low >= high} or there is no bin
   */
  public Histogram {
    if (!(low < high) || counts.isEmpty()) {
      throw new IllegalArgumentException(
          Expected.message(
              "low < high and at least one bin",
              "[" + low + ", " + high + "] and " + counts.size() + " bins",
              "pass the range of the values and the number of bins"));
    }
    counts = List.copyOf(counts);
  }

  /** Counts values into bins. */
  public static Histogram of(double[] values, double low, double high, int bins) {
    Long[] counts = new Long[bins];
    Arrays.fill(counts, 0L);
    for (double value : values) {
      int bin = (int) Math.floor((value - low) / (high - low) * bins);
      counts[Math.max(0, Math.min(bins - 1, bin))]++;
    }
    return new Histogram(low, high, List.of(counts));
  }
}
