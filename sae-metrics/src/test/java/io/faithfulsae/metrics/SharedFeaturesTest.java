package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.faithfulsae.Sae;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.metrics.SharedFeatures.Directions;
import io.faithfulsae.metrics.SharedFeatures.Options;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class SharedFeaturesTest {
  private final Backend backend = new ReferenceBackend();

  @AfterEach
  void close() {
    assertEquals(0, backend.liveBytes());
    backend.close();
  }

  @Test
  void matchesHandComputedValues() {
    // S = [1 0 .6; .8 .6 .96; 0 1 .8], rows of a (their lengths do not matter)
    try (Sae a =
            Given.sae(
                backend, 1, new float[] {5, 0}, new float[] {0.8f, 0.6f}, new float[] {0, 2});
        Sae b = Given.sae(backend, 1, new float[] {1, 0}, new float[] {0, 1}, new float[] {3, 4})) {
      SharedFeatures seen = Metrics.sharedFeatures(a, b, Options.decoder(0.97));
      assertEquals(2 / 3.0, seen.topOneA(), 1e-12);
      assertEquals(2 / 3.0, seen.topOneB(), 1e-12);
      assertEquals(2 / 3.0, seen.matched(), 1e-12);
      BootstrapInterval interval = seen.matchedInterval(0.95);
      assertEquals(seen.matched(), interval.estimate());
      assertEquals(0.2077, interval.low(), 1e-4); // Wilson's, of 2 of 3
      assertEquals(0.9385, interval.high(), 1e-4);
      assertEquals((1 + 0.96 + 1) / 3, seen.meanMatched(), 1e-7);
      assertEquals(1, Metrics.sharedFeatures(a, b, Options.decoder(0.95)).matched());
    }
  }

  @Test
  void matchesForTheLargestSumNotGreedily() {
    // Both rows of a prefer b's first: 0.96 + 0.28 < 0.8 + 0.6 + …
    float[] x = {1, 0};
    float[] y = {0.6f, 0.8f};
    float[] p = {0.8f, 0.6f};
    float[] q = {-0.28f, 0.96f};
    try (Sae a = Given.sae(backend, 1, x, y);
        Sae b = Given.sae(backend, 1, p, q)) {
      // S = [.8 -.28; .96 .6]: .8 + .6 beats .96 − .28
      SharedFeatures seen = Metrics.sharedFeatures(a, b, Options.decoder(0.7));
      assertEquals(0.5, seen.matched());
      assertEquals(0.7, seen.meanMatched(), 1e-7);
      assertEquals(1, seen.topOneA());
      assertEquals(0.5, seen.topOneB());
      assertEquals((0.96 + 0.6) / 2, seen.meanTopOneB(), 1e-7);
    }
  }

  @Test
  void ranksPartnersByTheirCosine() {
    float[][] others = {{0, 1}, {0.6f, 0.8f}, {-1, 0}, {1, 0}, {0.8f, 0.6f}};
    try (Sae a = Given.sae(backend, 1, new float[] {1, 0}, new float[] {0, 1});
        Sae b = Given.sae(backend, 1, others)) {
      SharedFeatures seen = Metrics.sharedFeatures(a, b, Options.decoder(0.7));
      // Of (1, 0): 1, 0.8, 0.6, 0. Of (0, 1): 1, 0.8, 0.6 and one of two zeros.
      double[] cosines = {1, 0.8, 0.6, 0};
      double[] shares = {1, 1, 0, 0};
      for (int rank = 0; rank < 4; rank++) {
        assertEquals(cosines[rank], seen.ranksA().get(rank).mean(), 1e-7);
        assertEquals(shares[rank], seen.ranksA().get(rank).shareAbove());
      }
      assertEquals(seen.topOneCosinesA(), seen.ranksA().get(0).cosines());
      assertEquals(2, seen.ranksB().size(), "a has two latents");
      // Second best: 0, 0.6, -1, 0, 0.6.
      assertEquals(0.2 / 5, seen.ranksB().get(1).mean(), 1e-7);
      SharedFeatures back = Metrics.sharedFeatures(b, a, Options.decoder(0.7));
      assertEquals(seen.ranksA(), back.ranksB());
      assertEquals(seen.ranksB(), back.ranksA());
    }
  }

  @Test
  void countsOnlyCosinesStrictlyAboveTheThreshold() {
    try (Sae a = Given.sae(backend, 1, new float[] {1, 0});
        Sae b = Given.sae(backend, 1, new float[] {0.8f, 0.6f})) {
      float cosine = (float) Metrics.sharedFeatures(a, b, Options.decoder(0)).meanMatched();
      assertEquals(0, Metrics.sharedFeatures(a, b, Options.decoder(cosine)).matched());
      assertEquals(
          1, Metrics.sharedFeatures(a, b, Options.decoder(Math.nextDown(cosine))).matched());
    }
  }

  @Test
  void findsAPermutationOfTheSameDirections() {
    for (long seed = 0; seed < 5; seed++) {
      Random random = new Random(seed);
      float[][] rows = gaussian(random, 60, 9);
      List<float[]> shuffled = Arrays.asList(rows.clone());
      Collections.shuffle(shuffled, random);
      try (Sae a = Given.sae(backend, 1, rows);
          Sae b = Given.sae(backend, 1, shuffled.toArray(new float[0][]))) {
        SharedFeatures seen = Metrics.sharedFeatures(a, b, Options.decoder(0.9999));
        assertEquals(1, seen.matched(), "seed " + seed);
        assertEquals(1, seen.topOneA(), "seed " + seed);
        assertEquals(60, seen.matchedCosines().counts().get(99), "seed " + seed);
      }
    }
  }

  @Test
  void comparesDifferentNumbersOfLatentsInEitherOrder() {
    float[][] rows = gaussian(new Random(4), 30, 6);
    try (Sae few = Given.sae(backend, 1, Arrays.copyOfRange(rows, 5, 17));
        Sae many = Given.sae(backend, 1, rows)) {
      SharedFeatures seen = Metrics.sharedFeatures(few, many, Options.decoder(0.999));
      assertEquals(1, seen.topOneA());
      assertEquals(0.4, seen.topOneB(), 1e-12);
      assertEquals(1, seen.matched());
      assertEquals(12, seen.matchedPairs());
      SharedFeatures back = Metrics.sharedFeatures(many, few, Options.decoder(0.999));
      assertEquals(0.4, back.topOneA(), 1e-12);
      assertEquals(1, back.topOneB());
      assertEquals(30, back.dSaeA());
      assertEquals(seen.topOneCosinesA(), back.topOneCosinesB());
      assertEquals(seen.matchedCosines(), back.matchedCosines());
    }
  }

  @Test
  void comparesEncodersWhenAsked() {
    try (Sae a = Given.sae(backend, 1, new float[] {1, 0}, new float[] {0, 1});
        Sae b = Given.sae(backend, 1, new float[] {1, 0}, new float[] {0, 1})) {
      Given.write(b, Tensor.W_ENC, new float[] {1, 1, -1, 1});
      assertEquals(1, Metrics.sharedFeatures(a, b, Options.decoder(0.99)).meanMatched());
      SharedFeatures encoders = Metrics.sharedFeatures(a, b, new Options(Directions.ENCODER, 0.7));
      assertEquals(Math.sqrt(0.5), encoders.meanMatched(), 1e-7);
      assertEquals(Directions.ENCODER, encoders.directions());
    }
  }

  @Test
  void aZeroDirectionHasCosineZero() {
    try (Sae a = Given.sae(backend, 1, new float[] {1, 0}, new float[] {0, 0});
        Sae b = Given.sae(backend, 1, new float[] {1, 0}, new float[] {-1, 0})) {
      SharedFeatures seen = Metrics.sharedFeatures(a, b, Options.decoder(0.5));
      assertEquals(0.5, seen.matched());
      assertEquals(0.5, seen.meanMatched());
      assertEquals(0, seen.meanTopOneA() - 0.5);
    }
  }

  @Test
  void rejectsSaesThatCannotBeCompared() {
    try (Sae a = Given.sae(backend, 1, new float[] {1, 0});
        Sae wide = Given.sae(backend, 1, new float[] {1, 0, 0});
        Sae damaged = Given.sae(backend, 1, new float[] {Float.NaN, 0})) {
      assertRejected(a, wide, 0.7, "d_in = 2 and 3");
      assertRejected(a, a, 70, "expected threshold in [-1, 1]");
      assertRejected(a, damaged, 0.7, "NaN or infinity in latent 0");
    }
  }

  @Test
  void rejectsAMatrixThatDoesNotFitInTheHeap() {
    // 4 bytes per pair, which no test's heap can hold for this many latents.
    int dSae = (int) Math.sqrt(Runtime.getRuntime().maxMemory() / 4.0) + 1000;
    try (Sae a = Sae.create(io.faithfulsae.SaeConfig.topK(1, dSae, 1), backend)) {
      assertRejected(a, a, 0.7, "larger -Xmx");
      assertTrue(SharedFeatures.bytesNeeded(dSae, dSae) > 4L * dSae * dSae);
    }
  }

  @Test
  void isWrittenAsJsonAndReadBack() throws JsonProcessingException {
    try (Sae a = Given.sae(backend, 1, new float[] {1, 0})) {
      SharedFeatures seen = Metrics.sharedFeatures(a, a, Options.decoder(0.7));
      JsonNode json = new ObjectMapper().valueToTree(seen);
      assertEquals(seen, new ObjectMapper().treeToValue(json, SharedFeatures.class));
      assertEquals(1, json.get("matched").doubleValue());
      assertEquals("DECODER", json.get("directions").textValue());
      assertEquals(100, json.get("topOneCosinesA").get("counts").size());
    }
  }

  private static void assertRejected(Sae a, Sae b, double threshold, String part) {
    String message =
        assertThrows(
                IllegalArgumentException.class,
                () -> Metrics.sharedFeatures(a, b, Options.decoder(threshold)))
            .getMessage();
    assertTrue(message.contains(part), message);
  }

  private static float[][] gaussian(Random random, int rows, int columns) {
    float[][] out = new float[rows][columns];
    for (float[] row : out) {
      for (int j = 0; j < columns; j++) {
        row[j] = (float) random.nextGaussian();
      }
    }
    return out;
  }
}
