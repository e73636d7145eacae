package io.faithfulsae.internal;

/**
 * SplitMix64: a small generator whose whole state is one number and whose stream is the same for
 * ever, on each platform.
 *
 * <p><b>Source</b>: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).
 */
public final class Rng {
  private static final long GOLDEN = 0x9E3779B97F4A7C15L;

  private long state;

  /** A generator for one purpose: streams of different {@code stream} numbers are unrelated. */
  public Rng(long seed, long stream) {
    this.state = mix(mix(seed) + GOLDEN * stream);
  }

  /** 64 random bits. */
  public long nextLong() {
    state += GOLDEN;
    return mix(state);
  }

  /** Uniform in [0, 1). */
  public double nextDouble() {
    return (nextLong() >>> 11) * 0x1p-53;
  }

  /** Uniform in [0, bound), without bias. */
  public int nextInt(int bound) {
    long random = nextLong() >>> 33;
    long value = random % bound;
    while (random - value + bound - 1 >= 1L << 31) {
      random = nextLong() >>> 33;
      value = random % bound;
    }
    return (int) value;
  }

  /**
   * Standard normal (Box and Muller, with StrictMath so that each platform gives the same bits).
   */
  public double nextGaussian() {
    double radius = StrictMath.sqrt(-2 * StrictMath.log(1 - nextDouble()));
    return radius * StrictMath.cos(2 * StrictMath.PI * nextDouble());
  }

  private static long mix(long z) {
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }
}
