package io.faithfulsae.random;

import io.faithfulsae.io.Expected;
import java.util.Collections;
import java.util.List;
import org.apache.commons.math3.random.AbstractRandomGenerator;
import org.apache.commons.math3.random.RandomGenerator;
import org.apache.commons.rng.core.source64.Philox4x64;

/**
 * The random number generator of this library: Philox4x64-10, a block cipher run over a counter.
 * The key is the seed and a purpose; the upper half of the 256-bit counter is the stream's index,
 * and the lower half counts the stream's blocks. Under one key, streams with different indices or
 * parts never overlap: they encrypt different counters. Under different keys, blocks agree only by
 * chance, with probability 2^-256. A stream yields the same numbers forever, on every platform.
 *
 * <p><b>Source</b>: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC
 * 2011).
 */
public final class Rng {
  /** The generator's name, recorded in files whose contents depend on it. */
  public static final String ALGORITHM = "philox4x64-10";

  private final Philox4x64 philox;

  /**
   * What numbers are drawn for, so that two uses of one seed never share a stream. A purpose's
   * number is part of the key: it never changes, and a retired number is not reused.
   */
  public enum Purpose {
    /** Weights of a new SAE. */
    INITIAL_WEIGHTS(1),
    /** The order of training rows; the index is the number of the fill. */
    SHUFFLE(2),
    /** Tokens of a faithful data set; the index is the number of the record. */
    RECORDS(3),
    /** Resamples of one sample. */
    BOOTSTRAP(4),
    /** Resamples of two samples that are compared. */
    BOOTSTRAP_DIFFERENCE(5),
    /** Resamples of noise sequences. */
    NOISE_BLOCKS(6),
    /** Resamples of latents in groups of SAEs. */
    FAKE_FEATURE_GROUPS(7),
    /** Resamples of matched pairs of latents. */
    SHARED_FEATURE_PAIRS(8),
    /** Random tokens; the index is the number of the sequence. */
    NOISE_TOKENS(9),
    /** What a synthetic source draws once; the index says which part of it. */
    SYNTHETIC_RECIPE(10),
    /** A synthetic source's rows; the index is the number of the row. */
    SYNTHETIC_ROWS(11),
    /** Per-feature parameters: probabilities, scales, deviations. */
    SYNTHETIC_FEATURES(12),
    /** The choice of examples for a probe; the index is 0 for training and 1 for testing. */
    PROBE_EXAMPLES(13),
    /** A probe's initial weights. */
    PROBE_WEIGHTS(14),
    /** Resamples of a probe's test examples. */
    PROBE_SCORES(15),
    /** The choice of snippets; the index is the latent, the part says whether it fires. */
    SNIPPETS(16),
    /** The order of questions about snippets. */
    QUESTIONS(17),
    /** Latents that are shown by default. */
    SHOWN_LATENTS(18),
    /** Input for trials and measurements whose results do not depend on it. */
    TRIALS(19);

    private final long number;

    Purpose(long number) {
      this.number = number;
    }
  }

  /** The only stream of a purpose that needs just one. */
  public Rng(Purpose purpose, long seed) {
    this(purpose, seed, 0);
  }

  /** One of a purpose's streams, such as that of a record or a row. */
  public Rng(Purpose purpose, long seed, long index) {
    this(purpose, seed, index, 0);
  }

  /** One of several streams of an index. */
  public Rng(Purpose purpose, long seed, long index, long part) {
    // Key, then the counter from its lowest word up. A draw increments the lowest and carries.
    this.philox = new Philox4x64(new long[] {seed, purpose.number, 0, 0, part, index});
  }

  /** 64 random bits. */
  public long nextLong() {
    return philox.next();
  }

  /** Uniform in [0, 1): a multiple of 2^-53. */
  public double nextDouble() {
    return (nextLong() >>> 11) * 0x1p-53;
  }

  /**
   * Uniform in [0, bound), without bias.
   *
   * @throws IllegalArgumentException if {@code bound} is below 1
   */
  public int nextInt(int bound) {
    Expected.atLeast("bound", bound, 1, "use the number of choices");
    long random = nextLong() >>> 33;
    long value = random % bound;
    while (random - value + bound - 1 >= 1L << 31) {
      random = nextLong() >>> 33;
      value = random % bound;
    }
    return (int) value;
  }

  /** Standard normal (Box-Muller, with StrictMath so that every platform gives the same bits). */
  public double nextGaussian() {
    double radius = StrictMath.sqrt(-2 * StrictMath.log(1 - nextDouble()));
    return radius * StrictMath.cos(2 * StrictMath.PI * nextDouble());
  }

  /** Shuffles a list (Fisher-Yates). */
  public void shuffle(List<?> list) {
    for (int i = list.size() - 1; i > 0; i--) {
      Collections.swap(list, i, nextInt(i + 1));
    }
  }

  /** The numbers 0 … n − 1 in random order (inside-out Fisher-Yates). */
  public int[] permutation(int n) {
    int[] order = new int[n];
    for (int i = 0; i < n; i++) {
      int j = nextInt(i + 1);
      order[i] = order[j];
      order[j] = i;
    }
    return order;
  }

  /** This stream as a commons-math generator; it cannot be reseeded. */
  public RandomGenerator asRandomGenerator() {
    return new AbstractRandomGenerator() {
      @Override
      public void setSeed(long seed) {
        throw new UnsupportedOperationException(
            Expected.message("no reseeding", "setSeed", "create another Rng"));
      }

      @Override
      public double nextDouble() {
        return Rng.this.nextDouble();
      }

      @Override
      public int nextInt() {
        return (int) (nextLong() >>> 32);
      }

      @Override
      public int nextInt(int bound) {
        return Rng.this.nextInt(bound);
      }

      @Override
      public long nextLong() {
        return Rng.this.nextLong();
      }

      @Override
      public double nextGaussian() {
        return Rng.this.nextGaussian();
      }
    };
  }
}
