package io.faithfulsae.models.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.FloatBuffer;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class SamplerTest {

  @Test
  void drawsByInvertingTheCumulatedProbabilities() {
    FloatBuffer rows = FloatBuffer.wrap(new float[] {9, 9, 9, 9, 0f, 0.25f, 0.5f, 0.25f});
    Sampler sampler = new Sampler(4, 1);
    assertEquals(1, sampler.draw(rows, 1, 0));
    assertEquals(1, sampler.draw(rows, 1, 0.2499));
    assertEquals(2, sampler.draw(rows, 1, 0.25));
    assertEquals(3, sampler.draw(rows, 1, 0.75));
    assertEquals(
        3, sampler.draw(FloatBuffer.wrap(new float[] {0.1f, 0.1f, 0.1f, 0.1f, 0}), 0, 0.9999));
  }

  /**
   * The rounding error of the sum belongs to all tokens, not to the last one, which may be rare.
   */
  @Test
  void sharesOutWhatIsMissingToOne() {
    FloatBuffer row = FloatBuffer.wrap(new float[] {0.5f, 0.25f, 0.125f, 0});
    Sampler sampler = new Sampler(4, 1);
    assertEquals(0, sampler.draw(row, 0, 0.57));
    assertEquals(1, sampler.draw(row, 0, 0.58));
    assertEquals(1, sampler.draw(row, 0, 0.85));
    assertEquals(2, sampler.draw(row, 0, 0.86));
    assertEquals(2, sampler.draw(row, 0, 0x1.fffffffffffffp-1));
    FloatBuffer large = FloatBuffer.wrap(new float[] {1, 0.5f, 0.5f, 0});
    assertEquals(0, sampler.draw(large, 0, 0.49));
    assertEquals(2, sampler.draw(large, 0, 0.76));
  }

  @Test
  void topPKeepsTheLikeliestTokensAsASortedListWould() {
    Random random = new Random(5);
    for (int trial = 0; trial < 200; trial++) {
      int vocabulary = 1 + random.nextInt(60);
      float[] p = new float[vocabulary];
      double total = 0;
      for (int i = 0; i < vocabulary; i++) {
        p[i] = (float) Math.exp(4 * random.nextGaussian());
        if (i > 0 && random.nextInt(4) == 0) {
          p[i] = p[i - 1]; // ties
        }
        total += p[i];
      }
      for (int i = 0; i < vocabulary; i++) {
        p[i] = (float) (p[i] / total);
      }
      double topP = random.nextDouble();
      double uniform = random.nextDouble();
      Sampler sampler = new Sampler(vocabulary, topP);
      assertEquals(
          reference(p, topP, uniform),
          sampler.draw(FloatBuffer.wrap(p), 0, uniform),
          "trial " + trial);
    }
  }

  @Test
  void saysSoWhenTheModelComputesNoProbabilities() {
    for (double topP : new double[] {0.9, 1}) {
      for (float nan : new float[] {Float.NaN, Float.intBitsToFloat(0xffc00000)}) {
        FloatBuffer row = FloatBuffer.wrap(new float[] {nan, nan, nan});
        assertThrows(IllegalStateException.class, () -> new Sampler(3, topP).draw(row, 0, 0.5));
      }
    }
  }

  private static int reference(float[] p, double topP, double uniform) {
    List<Integer> order =
        IntStream.range(0, p.length)
            .boxed()
            .sorted(Comparator.comparingDouble((Integer i) -> -p[i]).thenComparing(i -> i))
            .toList();
    double mass = 0;
    int kept = 0;
    while (kept < p.length && mass < topP) {
      mass += p[order.get(kept++)];
    }
    double sum = 0;
    for (int token : order.subList(0, kept)) {
      sum += p[token];
      if (sum > uniform * mass) {
        return token;
      }
    }
    return order.get(kept - 1);
  }
}
