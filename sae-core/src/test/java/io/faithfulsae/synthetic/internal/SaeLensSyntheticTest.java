package io.faithfulsae.synthetic.internal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import io.faithfulsae.synthetic.Hierarchy;
import io.faithfulsae.synthetic.PerFeature;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.IntStream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Compares the inputs of row generation with SAELens' results for the same parameters. */
class SaeLensSyntheticTest {
  private static final int FEATURES = 50;

  @TempDir Path folder;
  private JsonNode json;
  private Safetensors tensors;

  @BeforeEach
  void open() throws IOException {
    json = new JsonMapper().readTree(Goldens.copy("synthetic.json", folder).toFile());
    tensors = Safetensors.open(Goldens.copy("synthetic.safetensors", folder));
  }

  @AfterEach
  void close() throws IOException {
    tensors.close();
  }

  @Test
  void numbersOfEachFeatureAreTheirs() {
    assertValues("zipf", PerFeature.zipf(1.3, 0.4, 0.01));
    assertValues("linear", PerFeature.linear(0.3, 0.02));
    assertValues("linearMagnitude", PerFeature.linear(0.5, 2));
    assertValues("exponential", PerFeature.exponential(0.25, 4));
  }

  private void assertValues(String name, PerFeature seen) {
    assertArrayEquals(doubles(json.get(name)), seen.values(20, 1), 1e-6, name);
  }

  @Test
  void forestsAreTheirs() throws IOException {
    FeatureForest forest = forest(0, false);
    double[] parents = IntStream.range(0, FEATURES).mapToDouble(forest::parent).toArray();
    assertArrayEquals(doubles(json.get("parents")), parents);
    assertApplied("gated", forest);
    assertApplied("scaled", forest(0, true));
    double[] wanted = doubles("wanted");
    assertArrayEquals(doubles("compensated"), forest.compensated(wanted), 1e-6);
    assertArrayEquals(doubles("compensatedExclusive"), forest(1, false).compensated(wanted), 1e-6);
  }

  private static FeatureForest forest(double exclusive, boolean scaled) {
    Hierarchy hierarchy = new Hierarchy(4, 3, 2, exclusive, false, scaled);
    return FeatureForest.grow(hierarchy, FEATURES, new Rng(Purpose.TRIALS, 1));
  }

  private void assertApplied(String name, FeatureForest forest) throws IOException {
    float[] raw = Goldens.floats(tensors, "raw");
    float[] expected = Goldens.floats(tensors, name);
    double[] means = doubles("means");
    for (int at = 0; at < raw.length; at += FEATURES) {
      float[] row = Arrays.copyOfRange(raw, at, at + FEATURES);
      forest.apply(row, means, new Rng(Purpose.TRIALS, 1));
      assertArrayEquals(Arrays.copyOfRange(expected, at, at + FEATURES), row, 1e-5f, name);
    }
  }

  @Test
  void directionsAreAsEvenAsTheirs() {
    for (JsonNode one : json.get("evenness")) {
      int features = one.get("features").asInt();
      int dIn = one.get("dIn").asInt();
      double[][] vectors = Directions.random(features, dIn, new Rng(Purpose.TRIALS, 3));
      assertTrue(offDiagonal(vectors) > one.get("offDiagonal").asDouble() + 1);
      Directions.spread(vectors);
      // Neither can beat the Welch bound, features² / dIn − features.
      assertEquals(one.get("offDiagonal").asDouble(), offDiagonal(vectors), 1e-5, one.toString());
      for (double[] vector : vectors) {
        assertEquals(1, dot(vector, vector), 1e-12);
      }
    }
  }

  private static double offDiagonal(double[][] vectors) {
    double sum = 0;
    for (int i = 0; i < vectors.length; i++) {
      for (int j = 0; j < i; j++) {
        sum += 2 * Math.pow(dot(vectors[i], vectors[j]), 2);
      }
    }
    return sum;
  }

  private static double dot(double[] a, double[] b) {
    return IntStream.range(0, a.length).mapToDouble(i -> a[i] * b[i]).sum();
  }

  @Test
  void featuresThatShareCausesFireTogetherAsOftenAsSciPySays() throws IOException {
    double[] probabilities = doubles(json.get("probabilities"));
    double[] flat = doubles("factor");
    int n = probabilities.length;
    double[][] causes = new double[n][];
    for (int f = 0; f < n; f++) {
      causes[f] = Arrays.copyOfRange(flat, 3 * f, 3 * f + 3);
    }
    Firing firing = new Firing(probabilities, causes);
    int rows = 400_000;
    double[][] together = new double[n][n];
    boolean[] fires = new boolean[n];
    for (int row = 0; row < rows; row++) {
      Rng rng = new Rng(Purpose.TRIALS, 5, row);
      double[] shared = firing.shared(rng);
      for (int f = 0; f < n; f++) {
        fires[f] = firing.fires(f, shared, rng.nextDouble());
        for (int g = 0; g <= f; g++) {
          together[f][g] += fires[f] && fires[g] ? 1.0 / rows : 0;
        }
      }
    }
    for (int f = 0; f < n; f++) {
      assertShare(probabilities[f], together[f][f], rows);
    }
    for (JsonNode pair : json.get("together")) {
      assertShare(pair.get(2).asDouble(), together[pair.get(0).asInt()][pair.get(1).asInt()], rows);
    }
  }

  /** Within five standard errors. */
  private static void assertShare(double expected, double seen, int rows) {
    assertEquals(expected, seen, 5 * Math.sqrt(expected * (1 - expected) / rows));
  }

  @Test
  void comparesWithTheNormalTailExactly() {
    Rng rng = new Rng(Purpose.TRIALS, 9);
    for (int i = 0; i < 200_000; i++) {
      double x = 16 * rng.nextDouble() - 8;
      // Every other time close to the tail, where the table cannot decide.
      double value = i % 2 == 0 ? rng.nextDouble() : NormalTail.tail(x + 0.01 * rng.nextGaussian());
      assertEquals(value < NormalTail.tail(x), NormalTail.isBelow(value, x), value + " at " + x);
    }
    assertTrue(NormalTail.isBelow(0.999999, Double.NEGATIVE_INFINITY));
    assertTrue(!NormalTail.isBelow(0, Double.POSITIVE_INFINITY));
  }

  private static double[] doubles(JsonNode array) {
    return StreamSupport.stream(array.spliterator(), false)
        .mapToDouble(JsonNode::asDouble)
        .toArray();
  }

  private double[] doubles(String tensor) throws IOException {
    float[] floats = Goldens.floats(tensors, tensor);
    return IntStream.range(0, floats.length).mapToDouble(i -> floats[i]).toArray();
  }
}
