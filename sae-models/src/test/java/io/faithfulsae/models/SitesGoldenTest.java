package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.HookPoint;
import io.faithfulsae.PairedSource;
import io.faithfulsae.TokenSource;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The hook points inside of attention and MLP and before all blocks, against transformers. */
class SitesGoldenTest {
  private static final float TOLERANCE = 1e-4f; // as in ParityTest
  private static final HookPoint NEURONS = HookPoint.parse("blocks.1.mlp.hook_post");
  private static final HookPoint HEADS = HookPoint.parse("blocks.0.attn.hook_z");

  @ParameterizedTest
  @ValueSource(strings = {"gpt2-tied", "llama-tied-bias", "qwen3"})
  void pairsOfDifferentWidths(String name) throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder(name), new OnnxModel.Options(1));
        Safetensors golden =
            Safetensors.open(GoldenModels.folder(name).resolve("interventions.safetensors"));
        Backend backend = new ReferenceBackend()) {
      int[][] tokens = GoldenModels.ints(golden, "tokens");
      float[] neurons = GoldenModels.floats(golden, "site." + NEURONS);
      float[] heads = GoldenModels.floats(golden, "site." + HEADS);
      PairedSource source =
          ActivationSources.ofModel(
              model, NEURONS, HEADS, text(tokens), ActivationFilter.NONE, tokens.length);
      int in = model.width(NEURONS);
      int out = model.width(HEADS);
      assertEquals(in + out, source.dIn());
      assertEquals(out, source.dOut());
      int rows = tokens.length * tokens[0].length;
      try (ActivationReader reader = source.open(0);
          ActivationBatch batch = ActivationBatch.allocate(backend, rows, in + out)) {
        assertEquals(rows, reader.read(batch));
        float[] row = new float[in + out];
        for (int r = 0; r < rows; r++) {
          batch.data().get(r * row.length, row);
          for (int i = 0; i < row.length; i++) {
            float expected = i < in ? neurons[r * in + i] : heads[r * out + i - in];
            assertEquals(expected, row[i], TOLERANCE, name + " row " + r + " element " + i);
          }
        }
      }
    }
  }

  /** What attention and MLP read last, as transformers has it. */
  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void sitesInsideOfBlocks(String name) throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder(name), new OnnxModel.Options(1));
        Safetensors golden =
            Safetensors.open(GoldenModels.folder(name).resolve("interventions.safetensors"))) {
      int[][] tokens = GoldenModels.ints(golden, "tokens");
      float[] logits = GoldenModels.floats(golden, "logits.none");
      List<HookPoint> inside =
          model.hookPoints().stream()
              .filter(hook -> !hook.site().matches("hook_(resid|attn|mlp).*"))
              .toList();
      assertEquals(1 + 2 * model.layers(), inside.size(), inside.toString());
      for (HookPoint hook : inside) {
        float[] expected = GoldenModels.floats(golden, "site." + hook);
        assertEquals(tokens.length * tokens[0].length * model.width(hook), expected.length);
        FloatBuffer activations = FloatRows.allocate(expected.length);
        model.activations(hook, tokens, activations);
        assertClose(expected, activations, name + " " + hook);
        FloatBuffer computed = FloatRows.allocate(logits.length);
        model.logits(tokens, Map.of(hook, activations), computed);
        assertClose(logits, computed, name + " logits with " + hook + " put back");
        activations.put(0, new float[expected.length]);
        model.logits(tokens, Map.of(hook, activations), computed);
        float[] changed = new float[logits.length];
        computed.get(0, changed);
        assertTrue(differs(logits, changed), name + " does not use what replaces " + hook);
      }
    }
  }

  private static boolean differs(float[] a, float[] b) {
    float most = 0;
    for (int i = 0; i < a.length; i++) {
      most = Math.max(most, Math.abs(a[i] - b[i]));
    }
    return most > 0.01;
  }

  private static void assertClose(float[] expected, FloatBuffer actual, String what) {
    assertEquals(expected.length, actual.remaining(), what);
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], actual.get(i), TOLERANCE, what + " element " + i);
    }
  }

  private static TokenSource text(int[][] tokens) {
    return new TokenSource() {
      @Override
      public String description() {
        return "golden tokens";
      }

      @Override
      public Stream<int[]> open(long first) {
        return Arrays.stream(tokens).skip(first);
      }
    };
  }
}
