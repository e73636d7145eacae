package io.faithfulsae.random;

import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.IntFunction;
import java.util.function.IntUnaryOperator;
import java.util.function.LongSupplier;
import java.util.stream.LongStream;
import org.apache.commons.math3.distribution.ChiSquaredDistribution;
import org.apache.commons.math3.distribution.PoissonDistribution;
import org.apache.commons.math3.special.Erf;

/**
 * Tests of randomness that read <em>across</em> streams: the first draws of stream 0, 1, 2, …, the
 * second draws, and so on, as code that opens a stream per record, row or seed sees a generator. A
 * generator may be excellent within each stream and fail here.
 *
 * <p><b>Sources</b>: monobit and matrix rank of NIST SP 800-22; gap and serial test of Knuth, "The
 * Art of Computer Programming", vol. 2, 3.3.2; birthday spacings of Marsaglia, "A current view of
 * random number generators" (1985); collisions as a Poisson number.
 */
public final class StreamBattery {
  /** Number of streams read. */
  static final int STREAMS = 1 << 15;

  private static final int DRAWS = 8;
  private static final int BIRTHDAYS = 4096;
  private static final int BIN_BITS = 10;
  private static final int COLLISION_BITS = 24;

  private final Map<String, Double> pValues = new TreeMap<>();

  private StreamBattery() {}

  /**
   * Tests a family of streams.
   *
   * @param stream returns stream 0, 1, 2, …, each at its start
   * @return a two-sided p-value for each test
   */
  public static Map<String, Double> pValues(IntFunction<LongSupplier> stream) {
    long[][] draws = new long[DRAWS][STREAMS];
    for (int i = 0; i < STREAMS; i++) {
      LongSupplier one = stream.apply(i);
      for (int draw = 0; draw < DRAWS; draw++) {
        draws[draw][i] = one.getAsLong();
      }
    }
    StreamBattery battery = new StreamBattery();
    battery.across("first draws", draws[0]);
    battery.across("second draws", draws[1]);
    battery.across("eighth draws", draws[7]);
    long[] inTurn = new long[STREAMS];
    Arrays.setAll(inTurn, i -> draws[i % DRAWS][i / DRAWS]);
    battery.across("streams in turn", inTurn);
    int half = BIN_BITS / 2;
    battery.bins(
        "first with second draws",
        STREAMS,
        i -> (top(draws[0][i], half) << half) | top(draws[1][i], half));
    return battery.pValues;
  }

  private void across(String name, long[] values) {
    monobit(name, values);
    bits(name, values);
    bins(name + ": high bits", values.length, i -> top(values[i], BIN_BITS));
    bins(name + ": low bits", values.length, i -> top(Long.reverse(values[i]), BIN_BITS));
    int half = BIN_BITS / 2;
    bins(
        name + ": serial",
        values.length / 2,
        i -> (top(values[2 * i], half) << half) | top(values[2 * i + 1], half));
    bins(
        name + ": serial, far apart",
        values.length / 2,
        i -> (top(values[i], half) << half) | top(values[i + values.length / 2], half));
    gap(name, values);
    collisions(name, values);
    birthdaySpacings(name, values);
    rank(name, values);
  }

  /** Counts ones among all bits. */
  private void monobit(String name, long[] values) {
    double ones = Arrays.stream(values).map(Long::bitCount).sum();
    double bits = 64.0 * values.length;
    double z = (ones - bits / 2) / Math.sqrt(bits / 4);
    pValues.put(name + ": monobit", Erf.erfc(Math.abs(z) / Math.sqrt(2)));
  }

  /** Counts ones at each of the 64 bit positions. */
  private void bits(String name, long[] values) {
    int[] ones = new int[64];
    for (long value : values) {
      for (int bit = 0; bit < 64; bit++) {
        ones[bit] += (int) ((value >>> bit) & 1);
      }
    }
    double statistic = 0;
    for (int count : ones) {
      statistic += Math.pow(count - values.length / 2.0, 2) / (values.length / 4.0);
    }
    chiSquare(name + ": bits", statistic, 64);
  }

  /** Equal bins of single numbers, or of pairs for the serial test. */
  private void bins(String name, int count, IntUnaryOperator binOf) {
    int bins = 1 << BIN_BITS;
    int[] counts = new int[bins];
    for (int i = 0; i < count; i++) {
      counts[binOf.applyAsInt(i)]++;
    }
    double expected = (double) count / bins;
    double statistic = 0;
    for (int bin = 0; bin < bins; bin++) {
      statistic += Math.pow(counts[bin] - expected, 2) / expected;
    }
    chiSquare(name, statistic, bins - 1);
  }

  /** The number of values between two in the lowest sixteenth. */
  private void gap(String name, long[] values) {
    double chance = 1.0 / 16;
    int[] counts = new int[64];
    int gaps = 0;
    int last = -1;
    for (int i = 0; i < values.length; i++) {
      if (top(values[i], 4) == 0) {
        if (last >= 0) {
          counts[Math.min(i - last - 1, counts.length - 1)]++;
          gaps++;
        }
        last = i;
      }
    }
    double statistic = 0;
    for (int gap = 0; gap < counts.length; gap++) {
      boolean open = gap == counts.length - 1;
      double expected = gaps * Math.pow(1 - chance, gap) * (open ? 1 : chance);
      statistic += Math.pow(counts[gap] - expected, 2) / Math.max(expected, 1);
    }
    chiSquare(name + ": gap", statistic, counts.length - 1);
  }

  /** Numbers whose high bits have occurred before. */
  private void collisions(String name, long[] values) {
    int repeated = repeated(Arrays.stream(values).map(v -> v >>> (64 - COLLISION_BITS)));
    double cells = 1L << COLLISION_BITS;
    double n = values.length;
    poisson(name + ": collisions", repeated, n - cells * -Math.expm1(n * Math.log1p(-1 / cells)));
  }

  /** Equal spacings between birthdays in a year of 2^32 days. */
  private void birthdaySpacings(String name, long[] values) {
    int equal = 0;
    int years = values.length / BIRTHDAYS;
    for (int year = 0; year < years; year++) {
      long[] days =
          Arrays.stream(values, year * BIRTHDAYS, (year + 1) * BIRTHDAYS)
              .map(v -> v >>> 32)
              .sorted()
              .toArray();
      long[] spacings = new long[BIRTHDAYS - 1];
      Arrays.setAll(spacings, i -> days[i + 1] - days[i]);
      equal += repeated(Arrays.stream(spacings));
    }
    double mean = Math.pow(BIRTHDAYS, 3) / (4 * 0x1p32);
    poisson(name + ": birthday spacings", equal, years * mean);
  }

  private static int repeated(LongStream values) {
    long[] sorted = values.sorted().toArray();
    int repeated = 0;
    for (int i = 1; i < sorted.length; i++) {
      repeated += sorted[i] == sorted[i - 1] ? 1 : 0;
    }
    return repeated;
  }

  /** Ranks of 64 numbers as a binary matrix, which a generator linear over GF(2) may not have. */
  private void rank(String name, long[] values) {
    double[] shares = {0.2887880951, 0.5775761902, 0.1336357147}; // rank 64, 63, less
    int[] counts = new int[3];
    int matrices = values.length / 64;
    for (int matrix = 0; matrix < matrices; matrix++) {
      long[] rows = Arrays.copyOfRange(values, matrix * 64, (matrix + 1) * 64);
      counts[Math.min(2, 64 - rank(rows))]++;
    }
    double statistic = 0;
    for (int i = 0; i < 3; i++) {
      double expected = matrices * shares[i];
      statistic += Math.pow(counts[i] - expected, 2) / expected;
    }
    chiSquare(name + ": rank", statistic, 2);
  }

  private static int rank(long[] rows) {
    int rank = 0;
    for (int bit = 0; bit < 64; bit++) {
      int pivot = rank;
      while (pivot < rows.length && ((rows[pivot] >>> bit) & 1) == 0) {
        pivot++;
      }
      if (pivot < rows.length) {
        long row = rows[pivot];
        rows[pivot] = rows[rank];
        rows[rank++] = row;
        for (int i = rank; i < rows.length; i++) {
          rows[i] ^= -((rows[i] >>> bit) & 1) & row;
        }
      }
    }
    return rank;
  }

  private static int top(long value, int bits) {
    return (int) (value >>> (64 - bits));
  }

  private void chiSquare(String name, double statistic, int freedom) {
    // A much larger statistic would not converge, and means the same.
    double below =
        statistic > 100.0 * freedom + 1000
            ? 1
            : new ChiSquaredDistribution(null, freedom).cumulativeProbability(statistic);
    pValues.put(name, 2 * Math.min(below, 1 - below));
  }

  private void poisson(String name, int count, double mean) {
    PoissonDistribution poisson = new PoissonDistribution(mean);
    double atMost = poisson.cumulativeProbability(count);
    double atLeast = 1 - poisson.cumulativeProbability(count - 1);
    pValues.put(name, Math.min(1, 2 * Math.min(atMost, atLeast)));
  }
}
