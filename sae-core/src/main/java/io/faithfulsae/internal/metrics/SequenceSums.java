package io.faithfulsae.internal.metrics;

import io.faithfulsae.internal.Rng.Purpose;
import io.faithfulsae.metrics.BootstrapInterval;
import java.util.Arrays;
import java.util.List;
import java.util.function.ToDoubleFunction;
import org.apache.commons.math3.random.RandomGenerator;

/**
 * Sums over sequences, such as of losses and of tokens, for intervals of what is computed from
 * their totals: whole sequences are drawn with replacement, since tokens of one depend on each
 * other. Many sequences are kept as blocks of neighbours, so that memory does not grow with their
 * number.
 */
final class SequenceSums {
  /** 10,000 as the study has it. */
  private static final int RESAMPLES = 10_000;

  private static final double LEVEL = 0.95;
  private static final int SEED = 42;
  private static final int MOST_BLOCKS = 512;

  private final double[][] blocks = new double[MOST_BLOCKS][];
  private final int columns;
  private int used;
  private int perBlock = 1;
  private int inLast;

  SequenceSums(int columns) {
    this.columns = columns;
  }

  /** Adds the sums of one sequence, or of a block of them. */
  void add(double... sums) {
    if (used > 0 && inLast < perBlock) {
      addTo(blocks[used - 1], sums);
      inLast++;
      return;
    }
    if (used == MOST_BLOCKS) {
      for (int i = 0; i < used / 2; i++) {
        blocks[i] = blocks[2 * i];
        addTo(blocks[i], blocks[2 * i + 1]);
      }
      used /= 2;
      perBlock *= 2;
    }
    blocks[used++] = sums.clone();
    inLast = 1;
  }

  private static void addTo(double[] into, double[] from) {
    for (int i = 0; i < into.length; i++) {
      into[i] += from[i];
    }
  }

  /** The sums of each block. */
  List<double[]> blocks() {
    return Arrays.asList(blocks).subList(0, used);
  }

  /** Sums over all sequences. */
  double[] totals() {
    double[] totals = new double[columns];
    for (int i = 0; i < used; i++) {
      addTo(totals, blocks[i]);
    }
    return totals;
  }

  /**
   * The BCa interval of statistics of the totals, all from the same resamples: of several SAEs on
   * the same sequences, too, since the seed is always the same. With fewer than two blocks there is
   * nothing to resample: an interval of no width and 0 resamples.
   */
  @SafeVarargs
  final BootstrapInterval[] intervals(ToDoubleFunction<double[]>... statistics) {
    return intervals(RESAMPLES, statistics);
  }

  /** The same from another number of resamples. */
  @SafeVarargs
  final BootstrapInterval[] intervals(int resamples, ToDoubleFunction<double[]>... statistics) {
    double[] totals = totals();
    BootstrapInterval[] intervals = new BootstrapInterval[statistics.length];
    double[][] resampled = used < 2 ? new double[0][] : resample(resamples);
    for (int s = 0; s < statistics.length; s++) {
      ToDoubleFunction<double[]> statistic = statistics[s];
      double estimate = statistic.applyAsDouble(totals);
      if (used < 2 || !Double.isFinite(estimate)) {
        intervals[s] = new BootstrapInterval(estimate, estimate, estimate, LEVEL, 0);
        continue;
      }
      double[] values = Arrays.stream(resampled).mapToDouble(statistic).toArray();
      intervals[s] =
          Bootstrap.interval(
              estimate, values, Bootstrap.acceleration(influences(totals, statistic)), LEVEL);
    }
    return intervals;
  }

  private double[][] resample(int resamples) {
    RandomGenerator random = Bootstrap.random(Purpose.BOOTSTRAP, SEED);
    double[][] resampled = new double[resamples][columns];
    for (double[] sums : resampled) {
      for (int i = 0; i < used; i++) {
        addTo(sums, blocks[random.nextInt(used)]);
      }
    }
    return resampled;
  }

  private double[] influences(double[] totals, ToDoubleFunction<double[]> statistic) {
    double[] without = new double[used];
    for (int i = 0; i < used; i++) {
      double[] rest = totals.clone();
      for (int c = 0; c < columns; c++) {
        rest[c] -= blocks[i][c];
      }
      without[i] = statistic.applyAsDouble(rest);
    }
    double mean = Bootstrap.mean(without);
    return Arrays.stream(without).map(value -> (used - 1) * (mean - value)).toArray();
  }
}
