package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.HookPoint;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.models.spi.Graph.Precision;
import java.nio.FloatBuffer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** 16-bit graphs compared with what transformers computes in float32. */
class PrecisionTest {

  /**
   * Relative to the largest value: each of about ten operations per block rounds to 11 bits, by at
   * most 5e-4; the worst of these models reaches 6.2e-3.
   */
  private static final double FLOAT16 = 8e-3;

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void float16(String name) throws Exception {
    double worst = worst(name, Precision.FLOAT16);
    assertTrue(worst < FLOAT16, name + ": " + worst);
    assertTrue(worst > 1e-6, name + " was not computed in 16 bits: " + worst);
  }

  @Test
  void bfloat16IsForGpus() {
    IllegalArgumentException rejected =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                OnnxModel.open(
                    GoldenModels.folder("qwen2"), new OnnxModel.Options(1, Precision.BFLOAT16)));
    assertTrue(
        rejected.getMessage().contains("FLOAT32 or FLOAT16 on the CPU"), rejected.toString());
  }

  private static double worst(String name, Precision precision) throws Exception {
    try (OnnxModel model =
            OnnxModel.open(GoldenModels.folder(name), new OnnxModel.Options(1, precision));
        Safetensors expected =
            Safetensors.open(GoldenModels.folder(name).resolve("expected.safetensors"))) {
      int[][] tokens = GoldenModels.ints(expected, "tokens.a");
      int rows = tokens.length * tokens[0].length;
      FloatBuffer logits = FloatRows.allocate(rows, model.vocabularySize());
      model.logits(tokens, logits);
      double worst = difference(GoldenModels.floats(expected, "logits.a"), logits);
      for (int layer = 0; layer < model.layers(); layer++) {
        FloatBuffer residual = FloatRows.allocate(rows, model.dModel());
        model.activations(HookPoint.residPre(layer), tokens, residual);
        worst =
            Math.max(
                worst, difference(GoldenModels.floats(expected, "residual.a." + layer), residual));
      }
      return worst;
    }
  }

  private static double difference(float[] expected, FloatBuffer actual) {
    double largest = 0;
    double difference = 0;
    for (int i = 0; i < expected.length; i++) {
      largest = Math.max(largest, Math.abs(expected[i]));
      difference = Math.max(difference, Math.abs(expected[i] - actual.get(i)));
    }
    return difference / largest;
  }
}
