package io.faithfulsae.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class RngTest {

  /** Computed by another implementation; a change would break every seed that was ever recorded. */
  @Test
  void givesTheSameStreamForEver() {
    Rng rng = new Rng(42, 7);
    assertEquals(-6616403728644035724L, rng.nextLong());
    assertEquals(2386281289838151681L, rng.nextLong());
    assertEquals(8217175675880351264L, rng.nextLong());
  }

  @Test
  void drawsWholeNumbersEvenly() {
    Rng rng = new Rng(1, 0);
    int[] counts = new int[7];
    for (int i = 0; i < 70_000; i++) {
      counts[rng.nextInt(7)]++;
    }
    for (int count : counts) {
      assertEquals(10_000, count, 500, "five standard deviations");
    }
    assertEquals(0, rng.nextInt(1));
  }

  @Test
  void drawsNormals() {
    Rng rng = new Rng(2, 0);
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < 100_000; i++) {
      double x = rng.nextGaussian();
      assertTrue(Double.isFinite(x));
      sum += x;
      squares += x * x;
    }
    assertEquals(0, sum / 100_000, 0.016, "five standard errors");
    assertEquals(1, squares / 100_000, 0.023, "five standard errors");
  }
}
