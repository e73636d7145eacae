package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.metrics.GroundTruth.Latent;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.synthetic.SyntheticFeatures;
import io.faithfulsae.synthetic.SyntheticFeatures.Superposition;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GroundTruthTest {
  private static final float[][] AXES = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};

  private final Backend backend = new ReferenceBackend();
  @TempDir Path folder;

  @AfterEach
  void close() {
    assertEquals(0, backend.liveBytes());
    backend.close();
  }

  @Test
  void agreesWithSaeLens() throws IOException {
    JsonNode expected =
        new ObjectMapper()
            .readTree(Goldens.copy("synthetic.json", folder).toFile())
            .get("evaluation");
    try (Safetensors golden = Safetensors.open(Goldens.copy("synthetic.safetensors", folder));
        Sae sae = Sae.create(SaeConfig.topK(8, 18, 3), backend)) {
      Given.write(sae, Tensor.W_ENC, Goldens.floats(golden, "W_enc"));
      Given.write(sae, Tensor.B_ENC, Goldens.floats(golden, "b_enc"));
      Given.write(sae, Tensor.W_DEC, Goldens.floats(golden, "W_dec"));
      Superposition truth =
          new Made(
              rows(Goldens.floats(golden, "truth"), 8),
              rows(Goldens.floats(golden, "coefficients"), 14),
              Goldens.floats(golden, "x"));
      GroundTruth seen = Metrics.groundTruth(sae, truth, Long.MAX_VALUE, 0.9);
      assertEquals(expected.get("mcc").asDouble(), seen.meanCorrelation(), 1e-6);
      assertEquals(expected.get("uniqueness").asDouble(), seen.uniqueness(), 1e-12);
      assertEquals(expected.get("true_l0").asDouble(), seen.trueL0(), 1e-12);
      JsonNode classes = expected.get("classification");
      assertEquals(classes.get("precision").asDouble(), seen.precision(), 1e-6);
      assertEquals(classes.get("recall").asDouble(), seen.recall(), 1e-6);
      assertEquals(classes.get("f1_score").asDouble(), seen.f1(), 1e-6);
      assertEquals(classes.get("accuracy").asDouble(), seen.accuracy(), 1e-6);
      Reconstruction rows = seen.reconstruction();
      assertEquals(expected.get("sae_l0").asDouble(), rows.l0(), 1e-12);
      assertEquals(expected.get("dead_latents").asInt(), rows.deadLatents());
      assertEquals(expected.get("shrinkage").asDouble(), rows.l2Ratio(), 1e-5);
      assertEquals(expected.get("explained_variance").asDouble(), rows.explainedVariance(), 1e-5);
      // Latents 0 to 9 were made from features, latent 10 is one negated.
      assertEquals(10, seen.latents().get(10).feature());
      assertEquals(-1, seen.latents().get(10).cosine(), 1e-6);
    }
  }

  @Test
  void matchesHandComputedValues() throws IOException {
    // Latent 0 is feature 0; latent 1 lies between features 0 and 1, closer to 1; latent 2 is the
    // opposite of feature 0 and never fires. Feature 2 has no latent.
    float[][] latents = {{1, 0, 0}, {0.6f, 0.8f, 0}, {-1, 0, 0}};
    float[][] coefficients = {{2, 0, 0}, {0, 1, 0}, {2, 3, 0}, {0, 0, 5}};
    try (Sae sae = Given.sae(backend, 1, latents)) {
      GroundTruth seen = Metrics.groundTruth(sae, new Made(AXES, coefficients), 9, 0.9);
      assertEquals(1 / 3.0, seen.recovered(), 1e-12);
      assertEquals(2 / 3.0, seen.noiseShare(), 1e-12);
      assertEquals((1 + 0.8 + 0) / 3, seen.meanMaxCosine(), 1e-7);
      assertEquals((1 + 0.8 + 0) / 3, seen.meanMaxCosineOfLatents(), 1e-7);
      assertEquals((1 + 0.8 + 0) / 3, seen.meanCorrelation(), 1e-7);
      assertEquals(2 / 3.0, seen.uniqueness(), 1e-12);
      assertEquals(1.25, seen.trueL0(), 1e-12);
      // One latent per row: 0 at row 0; 1 at rows 1 (0.8) and 2 (1.2 + 2.4 > 2); none at row 3.
      assertEquals(new Latent(0, 1, 1, 0.5, 2 / 3.0, 0.75), seen.latents().get(0));
      assertEquals(1, seen.latents().get(1).feature());
      assertEquals(1, seen.latents().get(1).f1());
      assertEquals(new Latent(0, -1, 0, 0, 0, 0.5), seen.latents().get(2));
      assertEquals((2 / 3.0 + 1) / 3, seen.f1(), 1e-12);
      assertEquals((0.75 + 1 + 0.5) / 3, seen.accuracy(), 1e-12);
      assertEquals(1, seen.reconstruction().deadLatents());
      JsonNode json = new ObjectMapper().valueToTree(seen);
      assertEquals(seen, new ObjectMapper().treeToValue(json, GroundTruth.class));
    }
  }

  @Test
  void resultsAreTheSameAsMeasuredAlone() throws IOException {
    Superposition truth =
        SyntheticFeatures.superposition(
            20, 6, 2, SyntheticFeatures.Magnitude.UNIFORM, 0.01, 3000, 1);
    float[][] directions = truth.directions();
    try (Sae few = Given.sae(backend, 2, directions[0], directions[5], directions[9]);
        Sae all = Given.sae(backend, 2, directions)) {
      List<GroundTruth> both = Metrics.groundTruth(List.of(few, all), truth, 2500, 0.95);
      assertEquals(Metrics.groundTruth(few, truth, 2500, 0.95), both.get(0));
      assertEquals(Metrics.groundTruth(all, truth, 2500, 0.95), both.get(1));
      assertEquals(1, both.get(1).recovered());
      assertEquals(1, both.get(1).meanCorrelation(), 1e-6);
      assertEquals(3 / 20.0, both.get(0).recovered(), 1e-12);
      assertEquals(0, both.get(0).noiseShare());
      assertEquals(2500, both.get(1).reconstruction().rows());
    }
  }

  @Test
  void rejectsMismatchedWidths() {
    try (Sae wide = Given.sae(backend, 1, new float[] {1, 0, 0, 0});
        Sae fits = Given.sae(backend, 1, AXES[0])) {
      Superposition truth = new Made(AXES, new float[][] {{1, 0, 0}});
      assertRejected(() -> Metrics.groundTruth(wide, truth, 9, 0.9), "d_in = 4 and 3");
      assertRejected(
          () -> Metrics.groundTruth(fits, truth, 9, 90), "expected threshold in [-1, 1]");
      assertRejected(
          () -> Sae.ofDirections(SaeConfig.topK(3, 2, 1), AXES, backend),
          "expected 2 directions of width 3, got 3");
      assertRejected(
          () -> Sae.ofDirections(SaeConfig.topK(4, 3, 1), AXES, backend),
          "expected 3 directions of width 4, got 3 and width 3");
    }
  }

  private static void assertRejected(org.junit.jupiter.api.function.Executable call, String part) {
    String message = assertThrows(IllegalArgumentException.class, call).getMessage();
    assertTrue(message.contains(part), message);
  }

  private static float[][] rows(float[] flat, int width) {
    float[][] rows = new float[flat.length / width][width];
    for (int r = 0; r < rows.length; r++) {
      System.arraycopy(flat, r * width, rows[r], 0, width);
    }
    return rows;
  }

  /** Rows made from these directions and coefficients. */
  private static final class Made implements Superposition {
    private final float[][] directions;
    private final float[][] coefficients;
    private final float[] x;

    Made(float[][] directions, float[][] coefficients) {
      this(directions, coefficients, sums(directions, coefficients));
    }

    Made(float[][] directions, float[][] coefficients, float[] x) {
      this.directions = directions;
      this.coefficients = coefficients;
      this.x = x;
    }

    private static float[] sums(float[][] directions, float[][] coefficients) {
      int dIn = directions[0].length;
      float[] x = new float[coefficients.length * dIn];
      for (int row = 0; row < coefficients.length; row++) {
        for (int f = 0; f < directions.length; f++) {
          for (int i = 0; i < dIn; i++) {
            x[row * dIn + i] += coefficients[row][f] * directions[f][i];
          }
        }
      }
      return x;
    }

    @Override
    public float[][] directions() {
      return directions;
    }

    @Override
    public void coefficients(long row, float[] into) {
      System.arraycopy(coefficients[(int) row], 0, into, 0, into.length);
    }

    @Override
    public int dIn() {
      return directions[0].length;
    }

    @Override
    public String description() {
      return "rows of a test";
    }

    @Override
    public ActivationReader open(long position) throws IOException {
      ActivationSource rows = ActivationSources.ofArray(x, dIn());
      return rows.open(position);
    }
  }
}
