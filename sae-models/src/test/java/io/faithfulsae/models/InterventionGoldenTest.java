package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Activation;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.models.Intervention.AddDirection;
import io.faithfulsae.models.Intervention.ClampLatent;
import io.faithfulsae.models.spi.Graph.Precision;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Interventions against transformers with forward hooks (make_intervention_goldens.py): over whole
 * sequences, and token by token with a cache.
 */
class InterventionGoldenTest {
  private static final int LATENTS = 16;
  private static final int K = 4;
  private static final HookPoint FIRST = HookPoint.residPre(1);
  private static final HookPoint SECOND = HookPoint.parse("blocks.1.attn.hook_z");

  /** As in ParityTest; clamped values of 2 to 5 raise some logits. */
  private static final float TOLERANCE = 2e-4f;

  private static final float FLOAT16 = 8e-3f;

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void wholeSequencesAndCachedDecoding(String name) throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder(name), new OnnxModel.Options(1));
        Safetensors golden =
            Safetensors.open(GoldenModels.folder(name).resolve("interventions.safetensors"));
        Backend backend = new ReferenceBackend();
        Sae relu = sae(golden, "relu", new Relu(), model.width(FIRST), backend);
        Sae topk = sae(golden, "topk", new TopK(K), model.width(SECOND), backend)) {
      int[][] tokens = GoldenModels.ints(golden, "tokens");
      for (Map.Entry<String, List<Intervention>> each : cases(golden, relu, topk).entrySet()) {
        float[] expected = GoldenModels.floats(golden, "logits." + each.getKey());
        String what = name + " " + each.getKey();
        FloatBuffer whole = FloatRows.allocate(expected.length);
        model.logits(tokens, each.getValue(), whole);
        assertClose(expected, whole, what + " whole sequences");
        assertClose(expected, decoded(model, tokens, each.getValue()), what + " cached");
        if (!each.getValue().isEmpty()) {
          assertTrue(differs(expected, GoldenModels.floats(golden, "logits.none")), what);
        }
      }
    }
  }

  /** Changes are computed in float32 and rounded once; see PrecisionTest for the tolerance. */
  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void in16Bits(String name) throws IOException {
    OnnxModel.Options options = new OnnxModel.Options(1, Precision.FLOAT16);
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder(name), options);
        Safetensors golden =
            Safetensors.open(GoldenModels.folder(name).resolve("interventions.safetensors"));
        Backend backend = new ReferenceBackend();
        Sae relu = sae(golden, "relu", new Relu(), model.width(FIRST), backend);
        Sae topk = sae(golden, "topk", new TopK(K), model.width(SECOND), backend)) {
      int[][] tokens = GoldenModels.ints(golden, "tokens");
      Map<String, List<Intervention>> cases = cases(golden, relu, topk);
      for (String each : List.of("add", "clamp", "ablate", "clamp_two")) {
        float[] expected = GoldenModels.floats(golden, "logits." + each);
        float largest = 0;
        for (float logit : expected) {
          largest = Math.max(largest, Math.abs(logit));
        }
        FloatBuffer whole = FloatRows.allocate(expected.length);
        model.logits(tokens, cases.getOrDefault(each, List.of()), whole);
        for (int i = 0; i < expected.length; i++) {
          assertEquals(expected[i], whole.get(i), FLOAT16 * largest, name + " " + each + " " + i);
        }
      }
    }
  }

  private static Map<String, List<Intervention>> cases(Safetensors golden, Sae relu, Sae topk)
      throws IOException {
    int[] latents = GoldenModels.ints(golden, "latents")[0];
    Intervention add = new AddDirection(FIRST, GoldenModels.floats(golden, "direction"), 1.5);
    Intervention three = new ClampLatent(FIRST, relu, latents[0], 3);
    Intervention five = new ClampLatent(SECOND, topk, latents[2], 5);
    Map<String, List<Intervention>> cases = new LinkedHashMap<>();
    cases.put("none", List.of());
    cases.put("add", List.of(add));
    cases.put("clamp", List.of(three));
    cases.put("ablate", List.of(new ClampLatent(FIRST, relu, latents[0], 0)));
    cases.put("clamp_two", List.of(three, new ClampLatent(FIRST, relu, latents[1], 2)));
    cases.put("topk", List.of(five));
    cases.put("topk_ablate", List.of(new ClampLatent(SECOND, topk, latents[2], 0)));
    cases.put("several", List.of(five, three, add, new ClampLatent(FIRST, relu, latents[1], 0)));
    return cases;
  }

  private static Sae sae(
      Safetensors golden, String name, Activation activation, int width, Backend on)
      throws IOException {
    Sae sae = Sae.create(new SaeConfig(width, LATENTS, activation, true, Normalization.NONE), on);
    for (Tensor tensor : Tensor.COMMON) {
      float[] values =
          GoldenModels.floats(golden, name + "." + tensor.name().toLowerCase(Locale.ROOT));
      sae.parameters().write(tensor, 0, RandomSae.direct(values));
    }
    return sae;
  }

  private static FloatBuffer decoded(
      OnnxModel model, int[][] tokens, List<Intervention> interventions) {
    int length = tokens[0].length;
    int vocabulary = model.vocabularySize();
    FloatBuffer all = FloatBuffer.allocate(tokens.length * length * vocabulary);
    try (Decoder decoder = model.decoder(tokens.length, length, interventions)) {
      for (int at = 0; at < length; at++) {
        int column = at;
        decoder.step(Arrays.stream(tokens).mapToInt(row -> row[column]).toArray());
        for (int row = 0; row < tokens.length; row++) {
          all.put((row * length + at) * vocabulary, decoder.logits(), row * vocabulary, vocabulary);
        }
      }
    }
    return all;
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
}
