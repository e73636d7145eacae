package io.faithfulsae.synthetic;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.synthetic.SyntheticFeatures.Layout;
import io.faithfulsae.synthetic.SyntheticFeatures.Magnitude;
import io.faithfulsae.synthetic.SyntheticFeatures.Superposition;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.commons.math3.distribution.ExponentialDistribution;
import org.apache.commons.math3.distribution.NormalDistribution;
import org.apache.commons.math3.distribution.RealDistribution;
import org.apache.commons.math3.distribution.UniformRealDistribution;
import org.apache.commons.math3.stat.inference.KolmogorovSmirnovTest;
import org.junit.jupiter.api.Test;

class SyntheticFeaturesTest {
  private static final int ROWS = 20_000;

  @Test
  void aRowIsItsFeaturesAndBiasAndNoise() throws IOException {
    SyntheticFeatures quiet =
        SyntheticFeatures.builder(12, 6)
            .firing(PerFeature.constant(0.3))
            .magnitude(Magnitude.EXPONENTIAL)
            .bias(2)
            .build();
    Superposition source = quiet.source(ROWS, 4);
    Superposition noisy = quiet.toBuilder().noise(0.25).build().source(ROWS, 4);
    float[][] directions = source.directions();
    float[] x = read(source);
    float[] withNoise = read(noisy);
    float[] coefficients = new float[12];
    double[] noise = new double[ROWS * 6];
    double[] bias = new double[6];
    for (int row = 0; row < ROWS; row++) {
      source.coefficients(row, coefficients);
      for (int i = 0; i < 6; i++) {
        double sum = 0;
        for (int f = 0; f < 12; f++) {
          sum += (double) coefficients[f] * directions[f][i];
        }
        noise[row * 6 + i] = withNoise[row * 6 + i] - x[row * 6 + i];
        if (row == 0) {
          bias[i] = x[i] - sum;
        }
        assertEquals(bias[i] + sum, x[row * 6 + i], 1e-5);
      }
    }
    assertEquals(4, Arrays.stream(bias).map(b -> b * b).sum(), 1e-4);
    assertDrawnFrom(new NormalDistribution(0, 0.25), noise);
  }

  @Test
  void coefficientsHaveTheirDistribution() {
    SyntheticFeatures.Builder two =
        SyntheticFeatures.builder(2, 3)
            .firing(PerFeature.constant(1))
            .scale(PerFeature.given(1, 2.5));
    assertDrawnFrom(
        new ExponentialDistribution(2.5), column(two.magnitude(Magnitude.EXPONENTIAL), 1));
    assertDrawnFrom(
        new UniformRealDistribution(0, 2.5), column(two.magnitude(Magnitude.UNIFORM), 1));
    double[] folded = column(two.magnitude(Magnitude.HALF_NORMAL), 1);
    for (int i = 0; i < folded.length; i += 2) {
      folded[i] = -folded[i]; // unfolded again
    }
    assertDrawnFrom(new NormalDistribution(0, 2.5), folded);
    assertDrawnFrom(
        new NormalDistribution(2.5, 0.2),
        column(two.magnitude(Magnitude.ONE).deviation(PerFeature.constant(0.2)), 1));
    double[] cut = column(two.deviation(PerFeature.constant(1)), 0);
    double silent = Arrays.stream(cut).filter(c -> c == 0).count() / (double) ROWS;
    // P(N(1, 1) < 0)
    assertEquals(new NormalDistribution().cumulativeProbability(-1), silent, 0.013);
  }

  @Test
  void featuresFireAsOftenAsTheyAreSaidTo() {
    assertRates(PerFeature.zipf(1, 0.5, 0.02), b -> b);
    assertRates(PerFeature.uniform(0.1, 0.6), b -> b);
    assertRates(PerFeature.linear(1, 0), b -> b);
    assertRates(PerFeature.linear(0.4, 0.05), b -> b.correlated(4, 0.3));
  }

  private static void assertRates(
      PerFeature firing, java.util.function.UnaryOperator<SyntheticFeatures.Builder> options) {
    SyntheticFeatures recipe =
        options.apply(SyntheticFeatures.builder(8, 3).firing(firing).seed(3)).build();
    long[] fired = new long[8];
    for (float[] row : coefficients(recipe)) {
      for (int f = 0; f < 8; f++) {
        fired[f] += row[f] > 0 ? 1 : 0;
      }
    }
    boolean drawn = firing.shape() == PerFeature.Shape.UNIFORM;
    for (int f = 0; f < 8; f++) {
      double rate = (double) fired[f] / ROWS;
      if (drawn) {
        assertTrue(rate > 0.09 && rate < 0.61, "rate " + rate);
      } else {
        double p = firing.values(8, 0)[f];
        assertEquals(p, rate, 5 * Math.sqrt(p * (1 - p) / ROWS));
      }
    }
  }

  @Test
  void childrenFireWithTheirParentsOnly() {
    SyntheticFeatures.Builder plain =
        SyntheticFeatures.builder(30, 3)
            .firing(PerFeature.constant(0.4))
            .magnitude(Magnitude.UNIFORM)
            .seed(2);
    // 2 roots, 3 children each, 3 of each of those: features 2..7 and 8..25; the rest are
    // independent.
    List<float[]> rows =
        coefficients(plain.hierarchy(new Hierarchy(2, 3, 2, 0.5, false, false)).build());
    long[][] together = together(rows);
    int exclusiveParents = 0;
    for (int parent = 0; parent < 8; parent++) {
      int first = 2 + 3 * parent;
      for (int child = first; child < first + 3; child++) {
        assertEquals(together[child][child], together[child][parent], "child " + child);
        assertTrue(together[child][child] > 0);
      }
      long pairs = together[first][first + 1] + together[first][first + 2];
      exclusiveParents += pairs == 0 ? 1 : 0;
      if (pairs == 0 && parent < 2) {
        // Each rival is equally likely to fire, within 5 standard errors of the difference.
        double each = (double) together[first][first];
        assertEquals(each, (double) together[first + 2][first + 2], 5 * Math.sqrt(2 * each));
      }
    }
    assertEquals(4, exclusiveParents, "half of the eight parents");
    assertEquals(0.4, together[27][27] / (double) ROWS, 0.018);
  }

  @Test
  void compensationRestoresTheRates() {
    SyntheticFeatures recipe =
        SyntheticFeatures.builder(14, 3)
            .firing(
                PerFeature.given(
                    0.5, 0.4, 0.2, 0.2, 0.1, 0.3, 0.1, 0.05, 0.05, 0.1, 0.1, 0.02, 0.03, 0.3))
            .hierarchy(new Hierarchy(2, 2, 2, 0, true, false))
            .build();
    long[][] together = together(coefficients(recipe));
    double[] wanted = recipe.firing().values(14, 0);
    for (int f = 0; f < 14; f++) {
      double p = wanted[f];
      assertEquals(
          p, together[f][f] / (double) ROWS, 5 * Math.sqrt(p * (1 - p) / ROWS), "feature " + f);
    }
  }

  @Test
  void sharesFeaturesAmongSeedsOfRows() throws IOException {
    SyntheticFeatures recipe =
        SyntheticFeatures.builder(9, 5)
            .firing(PerFeature.constant(0.5))
            .layout(Layout.EVEN)
            .build();
    Superposition one = recipe.source(100, 1);
    Superposition two = recipe.source(100, 2);
    assertArrayEquals(one.directions(), two.directions());
    assertNotEquals(read(one)[0], read(two)[0]);
    assertNotEquals(one.description(), two.description());
    Superposition other = recipe.toBuilder().seed(8).build().source(100, 1);
    assertNotEquals(one.directions()[0][0], other.directions()[0][0]);
    assertEquals(recipe, recipe.toBuilder().build());
  }

  @Test
  void saysWhatIsWrong() {
    SyntheticFeatures.Builder five = SyntheticFeatures.builder(5, 2);
    assertRejected(
        five.firing(PerFeature.given(0.1, 0.2)), "a number for each of 5 features, got 2");
    assertRejected(five.firing(PerFeature.linear(0.5, 1.5)), "firing probabilities in [0, 1]");
    five.firing(PerFeature.constant(0.1));
    assertRejected(five.scale(PerFeature.linear(1, -1)), "scales >= 0, got -0.5 for feature 3");
    five.scale(PerFeature.linear(1, 0)).hierarchy(new Hierarchy(1, 2, 1, 0, false, true));
    assertRejected(five, "scales > 0 to scale children");
    assertRejected(five.noise(-1), "noise >= 0, got -1.0");
    assertRejected(SyntheticFeatures.builder(0, 2), "features and d_in >= 1, got 0 and 2");
    assertThrows(IllegalArgumentException.class, () -> PerFeature.exponential(0, 1));
    assertThrows(IllegalArgumentException.class, () -> PerFeature.zipf(1, 0.1, 0.2));
    assertThrows(IllegalArgumentException.class, () -> PerFeature.constant(Double.NaN));
    assertThrows(IllegalArgumentException.class, () -> Hierarchy.of(1, 1, 1));
  }

  private static void assertRejected(SyntheticFeatures.Builder recipe, String part) {
    String message =
        assertThrows(IllegalArgumentException.class, () -> recipe.build().source(10, 1))
            .getMessage();
    assertTrue(message.contains(part), message);
  }

  private static long[][] together(List<float[]> rows) {
    int features = rows.get(0).length;
    long[][] together = new long[features][features];
    for (float[] row : rows) {
      for (int f = 0; f < features; f++) {
        for (int g = 0; g < features; g++) {
          together[f][g] += row[f] > 0 && row[g] > 0 ? 1 : 0;
        }
      }
    }
    return together;
  }

  private static double[] column(SyntheticFeatures.Builder recipe, int feature) {
    return coefficients(recipe.build()).stream().mapToDouble(row -> row[feature]).toArray();
  }

  private static List<float[]> coefficients(SyntheticFeatures recipe) {
    Superposition source = recipe.source(ROWS, 6);
    List<float[]> rows = new ArrayList<>();
    for (int row = 0; row < ROWS; row++) {
      float[] into = new float[recipe.features()];
      source.coefficients(row, into);
      rows.add(into);
    }
    return rows;
  }

  private static void assertDrawnFrom(RealDistribution distribution, double[] sample) {
    double p = new KolmogorovSmirnovTest().kolmogorovSmirnovTest(distribution, sample);
    assertTrue(p > 1e-4, "p-value " + p);
  }

  private static float[] read(Superposition source) throws IOException {
    try (Backend backend = new ReferenceBackend();
        ActivationReader reader = source.open(0);
        ActivationBatch batch = ActivationBatch.allocate(backend, ROWS, source.dIn())) {
      int rows = reader.read(batch);
      float[] values = new float[rows * source.dIn()];
      batch.data().get(values);
      return values;
    }
  }
}
