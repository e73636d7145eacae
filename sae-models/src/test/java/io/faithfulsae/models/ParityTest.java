package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.HookPoint;
import io.faithfulsae.io.Safetensors;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares layer by layer with transformers, on tiny random models of each family. */
class ParityTest {
  /** float32 on both sides, with sums in another order; values are between 1 and 30 in size. */
  private static final float TOLERANCE = 1e-4f;

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void residualsAndLogits(String name) throws Exception {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder(name), new OnnxModel.Options(1));
        Safetensors expected = expected(name)) {
      for (String batch : new String[] {"a", "b", "c"}) {
        int[][] tokens = GoldenModels.ints(expected, "tokens." + batch);
        int rows = tokens.length * tokens[0].length;
        float[] logits = GoldenModels.floats(expected, "logits." + batch);
        FloatBuffer computed = FloatRows.allocate(rows, model.vocabularySize());
        model.logits(tokens, computed);
        assertClose(logits, computed, name + " logits " + batch);
        for (int layer = 0; layer < model.layers(); layer++) {
          HookPoint hook = HookPoint.residPre(layer);
          float[] residual =
              GoldenModels.floats(expected, "residual." + batch + "." + hook.layer());
          FloatBuffer activations = FloatRows.allocate(rows, model.dModel());
          model.activations(hook, tokens, activations);
          assertClose(residual, activations, name + " " + hook + " " + batch);
          computed.put(0, new float[computed.capacity()]);
          model.logitsFrom(hook, activations, tokens.length, tokens[0].length, computed);
          assertClose(logits, computed, name + " logits from " + hook + " " + batch);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void sequencesOfUnequalLength(String name) throws Exception {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder(name), new OnnxModel.Options(1));
        Safetensors expected =
            Safetensors.open(GoldenModels.folder(name).resolve("padded.safetensors"))) {
      int[] lengths = GoldenModels.ints(expected, "lengths")[0];
      int[] flat = GoldenModels.ints(expected, "tokens")[0];
      int[][] tokens = new int[lengths.length][];
      for (int row = 0, at = 0; row < lengths.length; at += lengths[row++]) {
        tokens[row] = Arrays.copyOfRange(flat, at, at + lengths[row]);
      }
      FloatBuffer logits = FloatRows.allocate(lengths.length * 13L, model.vocabularySize());
      logits.put(0, nans(logits.capacity()));
      model.logits(tokens, logits);
      assertRows(GoldenModels.floats(expected, "logits"), logits, lengths, name + " logits");
      for (int layer = 0; layer < model.layers(); layer++) {
        FloatBuffer residual = FloatRows.allocate(lengths.length * 13L, model.dModel());
        residual.put(0, nans(residual.capacity()));
        model.activations(HookPoint.residPre(layer), tokens, residual);
        assertRows(
            GoldenModels.floats(expected, "residual." + layer),
            residual,
            lengths,
            name + " residual " + layer);
        FloatBuffer alone = FloatRows.allocate(lengths[0], model.dModel());
        model.activations(HookPoint.residPre(layer), new int[][] {tokens[0]}, alone);
        for (int i = 0; i < alone.capacity(); i++) {
          assertEquals(alone.get(i), residual.get(i), TOLERANCE, name + " alone");
        }
      }
    }
  }

  private static float[] nans(int size) {
    float[] nans = new float[size];
    Arrays.fill(nans, Float.NaN);
    return nans;
  }

  /** Compares rows up to each sequence's end, and checks that zeros follow. */
  private static void assertRows(float[] expected, FloatBuffer actual, int[] lengths, String what) {
    int longest = Arrays.stream(lengths).max().orElseThrow();
    int width = actual.capacity() / lengths.length / longest;
    int from = 0;
    for (int row = 0; row < lengths.length; row++) {
      int size = lengths[row] * width;
      FloatBuffer whole = actual.slice(row * longest * width, longest * width);
      assertClose(Arrays.copyOfRange(expected, from, from + size), whole.slice(0, size), what);
      for (int i = size; i < whole.capacity(); i++) {
        assertEquals(0f, whole.get(i), what + " after the end of sequence " + row);
      }
      from += size;
    }
    assertEquals(expected.length, from, what);
  }

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void theSitesOfEveryBlock(String name) throws Exception {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder(name), new OnnxModel.Options(1));
        Safetensors expected = expected(name)) {
      int[][] tokens = GoldenModels.ints(expected, "tokens.a");
      int rows = tokens.length * tokens[0].length;
      float[] logits = GoldenModels.floats(expected, "logits.a");
      for (HookPoint hook : model.hookPoints()) {
        if (!hook.site().matches("hook_(resid|attn|mlp).*")) {
          continue; // all others: SitesGoldenTest
        }
        FloatBuffer activations = FloatRows.allocate(rows, model.dModel());
        model.activations(hook, tokens, activations);
        assertClose(site(expected, hook), activations, name + " " + hook);

        FloatBuffer computed = FloatRows.allocate(rows, model.vocabularySize());
        model.logits(tokens, Map.of(hook, activations), computed);
        assertClose(logits, computed, name + " logits with " + hook + " put back");
        for (int i = 0; i < activations.capacity(); i++) {
          activations.put(i, 1 - activations.get(i));
        }
        model.logits(tokens, Map.of(hook, activations), computed);
        float change = 0;
        for (int i = 0; i < logits.length; i++) {
          change = Math.max(change, Math.abs(logits[i] - computed.get(i)));
        }
        assertTrue(change > 1e-2, name + " does not use what replaces " + hook);
      }
    }
  }

  private static float[] site(Safetensors expected, HookPoint hook) throws Exception {
    float[] before = GoldenModels.floats(expected, "residual.a." + hook.layer());
    switch (hook.site()) {
      case "hook_resid_pre" -> {
        return before;
      }
      case "hook_resid_mid" -> {
        float[] added = GoldenModels.floats(expected, "hook_attn_out." + hook.layer());
        for (int i = 0; i < added.length; i++) {
          added[i] += before[i];
        }
        return added;
      }
      default -> {
        return GoldenModels.floats(expected, hook.site() + "." + hook.layer());
      }
    }
  }

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void stepByStepIsTheWholeForwardPass(String name) throws Exception {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder(name), new OnnxModel.Options(2));
        Safetensors expected = expected(name)) {
      int[][] tokens = GoldenModels.ints(expected, "tokens.b");
      float[] logits = GoldenModels.floats(expected, "logits.b");
      int vocabulary = model.vocabularySize();
      int length = tokens[0].length;
      try (Decoder decoder = model.decoder(tokens.length, length)) {
        for (int at = 0; at < length; at++) {
          decoder.step(column(tokens, at));
          for (int row = 0; row < tokens.length; row++) {
            int from = (row * length + at) * vocabulary;
            assertClose(
                Arrays.copyOfRange(logits, from, from + vocabulary),
                decoder.logits().slice(row * vocabulary, vocabulary),
                name + " row " + row + " step " + at);
          }
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void rowsThatBeginWheneverTheyLike(String name) throws Exception {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder(name), new OnnxModel.Options(1));
        Safetensors expected = expected(name)) {
      int[][] tokens = GoldenModels.ints(expected, "tokens.b");
      float[] logits = GoldenModels.floats(expected, "logits.b");
      int vocabulary = model.vocabularySize();
      int length = tokens[0].length;
      int[] next = new int[tokens.length];
      try (Decoder decoder = model.decoder(tokens.length, length)) {
        for (int step = 0; step < 3 * length; step++) {
          for (int row = 0; row < tokens.length; row++) {
            // Row r restarts after every length - 3 r tokens.
            if (decoder.length(row) == length - 3 * row) {
              decoder.restart(row);
            }
            next[row] = tokens[row][decoder.length(row)];
          }
          decoder.step(next);
          for (int row = 0; row < tokens.length; row++) {
            int from = (row * length + decoder.length(row) - 1) * vocabulary;
            assertClose(
                Arrays.copyOfRange(logits, from, from + vocabulary),
                decoder.logits().slice(row * vocabulary, vocabulary),
                name + " row " + row + " step " + step);
          }
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void greedyContinuationIsGenerates(String name) throws Exception {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder(name), new OnnxModel.Options(1));
        Safetensors expected = expected(name)) {
      int[][] greedy = GoldenModels.ints(expected, "greedy");
      int[][] made = new int[greedy.length][greedy[0].length];
      try (Decoder decoder = model.decoder(greedy.length, greedy[0].length)) {
        for (int at = 0; at < greedy[0].length; at++) {
          for (int row = 0; row < greedy.length; row++) {
            made[row][at] =
                at < 5 ? greedy[row][at] : likeliest(decoder.logits(), row, model.vocabularySize());
          }
          decoder.step(column(made, at));
        }
      }
      for (int row = 0; row < greedy.length; row++) {
        assertArrayEquals(greedy[row], made[row], name + " row " + row);
      }
    }
  }

  private static Safetensors expected(String name) throws Exception {
    return Safetensors.open(GoldenModels.folder(name).resolve("expected.safetensors"));
  }

  private static int[] column(int[][] tokens, int at) {
    return Arrays.stream(tokens).mapToInt(row -> row[at]).toArray();
  }

  private static int likeliest(FloatBuffer logits, int row, int vocabulary) {
    int best = 0;
    for (int token = 1; token < vocabulary; token++) {
      if (logits.get(row * vocabulary + token) > logits.get(row * vocabulary + best)) {
        best = token;
      }
    }
    return best;
  }

  private static void assertClose(float[] expected, FloatBuffer actual, String what) {
    assertEquals(expected.length, actual.remaining(), what);
    double size = 0;
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], actual.get(i), TOLERANCE, what + " element " + i);
      size += Math.abs(expected[i]);
    }
    assertTrue(size / expected.length > 0.1, what + " is too small for a meaningful comparison");
  }
}
