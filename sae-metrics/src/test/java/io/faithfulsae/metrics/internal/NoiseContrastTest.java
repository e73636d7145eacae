package io.faithfulsae.metrics.internal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.metrics.NoiseAgainstText;
import io.faithfulsae.metrics.NoiseAgainstText.OfLatent;
import io.faithfulsae.metrics.NoiseAgainstText.Verdict;
import java.io.IOException;
import java.nio.file.Path;
import org.apache.commons.math3.random.RandomGenerator;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Compared with SciPy: golden/make_noise_golden.py. */
class NoiseContrastTest {
  @TempDir Path folder;
  private final ObjectMapper json = new ObjectMapper();
  private JsonNode golden;

  @BeforeEach
  void read() throws IOException {
    golden = json.readTree(Goldens.copy("noise.json", folder).toFile());
  }

  @Test
  void mannWhitneyAgreesWithSciPyIncludingTies() {
    golden
        .path("mannWhitney")
        .properties()
        .forEach(
            entry -> {
              JsonNode expected = entry.getValue();
              MannWhitney seen =
                  MannWhitney.test(
                      json.convertValue(expected.path("first"), long[].class),
                      json.convertValue(expected.path("second"), long[].class));
              String name = entry.getKey();
              assertEquals(expected.path("auc").doubleValue(), seen.auc(), 1e-12, name);
              double p = expected.path("p").doubleValue();
              assertEquals(p, seen.pValue(), 1e-9 * p, name);
            });
    assertEquals(new MannWhitney(0.5, 1), MannWhitney.test(new long[] {7, 0}, new long[] {9, 0}));
    assertEquals(new MannWhitney(0.5, 1), MannWhitney.test(new long[2], new long[] {9, 0}));
  }

  @Test
  void adjustedPValuesAgreeWithSciPy() {
    double[] p = json.convertValue(golden.path("p"), double[].class);
    double[] expected = json.convertValue(golden.path("adjusted"), double[].class);
    assertArrayEquals(expected, MannWhitney.adjusted(p), 1e-14);
  }

  @Test
  void areaUnderTheCurveIsExactWithTies() {
    double[] noise = json.convertValue(golden.path("noise"), double[].class);
    double[] text = json.convertValue(golden.path("text"), double[].class);
    NoiseContrast contrast = new NoiseContrast(3);
    feed(contrast.onText(), text, 8);
    feed(contrast.onNoise(), noise, 6);
    NoiseAgainstText seen = contrast.result(0.05, 2);
    assertEquals(golden.path("auc").doubleValue(), seen.latents().get(1).auc(), 1e-15);
    assertEquals(rate(noise), seen.latents().get(1).noiseRate(), 1e-15);
    assertEquals(rate(text), seen.latents().get(1).textRate(), 1e-15);
    assertEquals(rate(noise) - rate(text), seen.latents().get(1).difference(), 1e-15);
    assertEquals(0.5, seen.latents().get(0).auc(), "a latent that is never active");
    assertEquals(1, seen.latents().get(0).adjustedPValue());
    assertEquals(2, seen.neverActive());
    assertEquals(seen.latents().get(1).auc(), seen.medianAuc());
  }

  private static double rate(double[] z) {
    int active = 0;
    for (double each : z) {
      active += each > 0 ? 1 : 0;
    }
    return (double) active / z.length;
  }

  /** Feeds rows of latent 1, cut into sequences. */
  private static void feed(Firings.Watcher into, double[] z, int length) {
    for (int first = 0; first < z.length; first += length) {
      int active = 0;
      int rows = Math.min(length, z.length - first);
      for (int i = first; i < first + rows; i++) {
        if (z[i] > 0) {
          into.active(1, (float) z[i]);
          active++;
        }
      }
      if (active > 0) {
        into.sequence(1, active, rows);
      }
      into.sequenceEnds(rows);
    }
  }

  /**
   * Of 200 latents, 60 are at least twice as likely on noise, 20 on text, and 120 are equally
   * likely on both; each sequence makes all of them more, or less, likely at once.
   */
  @Test
  void findsTheDifferencesAndLittleElse() {
    RandomGenerator random = Bootstrap.random(77);
    NoiseContrast contrast = new NoiseContrast(200);
    simulate(contrast.onText(), 150, random, latent -> latent < 60 ? 0.03 : 0.09);
    simulate(
        contrast.onNoise(),
        400,
        random,
        latent -> latent < 60 ? 0.1 : latent < 80 ? 0.02 : latent < 100 ? 0.108 : 0.09);
    NoiseAgainstText seen = contrast.result(0.05, 2);
    int rightly = 0;
    for (OfLatent latent : seen.latents()) {
      rightly += latent.verdict() == Verdict.NOISE && latent.latent() < 60 ? 1 : 0;
    }
    assertTrue(rightly >= 57, rightly + " of 60 found");
    assertTrue(seen.moreOnNoise() - rightly <= 3, "5 % of those found, with some slack");
    assertTrue(seen.moreOnText() >= 18 && seen.moreOnText() <= 22, seen.moreOnText() + " of 20");
    assertEquals(seen.moreOnNoise() / 200.0, seen.shareMoreOnNoise());
    assertEquals(seen.moreOnNoise(), seen.counted().latents().size());
    NoiseAgainstText small = contrast.result(0.05, 1);
    assertTrue(small.moreOnNoise() >= seen.moreOnNoise(), "a smaller effect counts too");
    assertEquals(small.different(), small.moreOnNoise() + small.moreOnText(), 2);
  }

  private interface Rates {
    double of(int latent);
  }

  private static void simulate(
      Firings.Watcher into, int sequences, RandomGenerator random, Rates rates) {
    int rows = 60;
    for (int s = 0; s < sequences; s++) {
      double factor = Math.exp(0.4 * random.nextGaussian() - 0.08);
      for (int latent = 0; latent < 200; latent++) {
        int active = 0;
        for (int t = 0; t < rows; t++) {
          if (random.nextDouble() < rates.of(latent) * factor) {
            into.active(latent, 1);
            active++;
          }
        }
        if (active > 0) {
          into.sequence(latent, active, rows);
        }
      }
      into.sequenceEnds(rows);
    }
  }
}
