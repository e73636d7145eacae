package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import io.faithfulsae.HookPoint;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Generation with a steering vector, against full forward passes over all tokens so far, in which
 * the activations at the hook point are read, added to and put back at every position.
 */
class SteeringTest {
  private static final OnnxModel.Options ONE_THREAD = new OnnxModel.Options(1);
  private static final int LENGTH = 10;
  private static final float TOLERANCE = 1e-3f; // float32, logits of size 1 to 100

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void steeredGenerationIsThatOfFullForwardPasses(String name) throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder(name), ONE_THREAD)) {
      List<HookPoint> hooks = model.hookPoints();
      for (HookPoint hook : hooks) {
        if (hook.layer() == 1) {
          steeredAt(model, hook, direction(model.width(hook)));
        }
      }
      steeredAt(model, hooks.get(0), direction(model));
      steeredAt(model, hooks.get(hooks.size() - 1), direction(model));
    }
  }

  private static void steeredAt(OnnxModel model, HookPoint hook, float[] vector) {
    double coefficient = 1.5;
    int vocabulary = model.vocabularySize();
    int[] tokens = new int[LENGTH];
    tokens[0] = 1;
    float most = 0;
    try (Decoder steered = model.decoder(1, LENGTH, hook);
        Decoder plain = model.decoder(1, LENGTH)) {
      steered.steer(vector, coefficient);
      for (int length = 1; length < LENGTH; length++) {
        FloatBuffer expected =
            withFullPass(model, hook, vector, coefficient, Arrays.copyOf(tokens, length));
        steered.step(new int[] {tokens[length - 1]});
        plain.step(new int[] {tokens[length - 1]});
        for (int i = 0; i < vocabulary; i++) {
          float logit = steered.logits().get(i);
          assertEquals(expected.get(i), logit, TOLERANCE, model.name() + " " + hook);
          most = Math.max(most, Math.abs(logit - plain.logits().get(i)));
        }
        tokens[length] = likeliest(expected);
        assertEquals(tokens[length], likeliest(steered.logits()), model.name() + " " + hook);
      }
    }
    assertTrue(most > 0.01, model.name() + " ignores what is added at " + hook);
  }

  /** Logits after the last token. */
  private static FloatBuffer withFullPass(
      OnnxModel model, HookPoint hook, float[] vector, double coefficient, int[] tokens) {
    int[][] batch = {tokens};
    FloatBuffer rows = FloatBuffer.allocate(tokens.length * model.width(hook));
    model.activations(hook, batch, rows);
    for (int i = 0; i < rows.capacity(); i++) {
      rows.put(i, (float) (rows.get(i) + coefficient * vector[i % vector.length]));
    }
    int vocabulary = model.vocabularySize();
    FloatBuffer logits = FloatBuffer.allocate(tokens.length * vocabulary);
    model.logits(batch, Map.of(hook, rows), logits);
    return logits.slice((tokens.length - 1) * vocabulary, vocabulary);
  }

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void coefficientZeroChangesNothingAndALargeOneTheText(String name) throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder(name), ONE_THREAD)) {
      HookPoint hook = HookPoint.residPre(1);
      try (Decoder plain = model.decoder(1, LENGTH);
          Decoder steered = model.decoder(1, LENGTH, hook)) {
        int[] text = greedy(plain);
        assertArrayEquals(text, greedy(steered), name + ": not steered at first");
        steered.steer(direction(model), 1e4);
        assertFalse(Arrays.equals(text, greedy(steered)), name);
        steered.steer(direction(model), 0);
        assertArrayEquals(text, greedy(steered), name);
        assertEquals(plain.logits(), steered.logits(), name + " to the bit");
      }
    }
  }

  @Test
  void everyRowIsSteeredFromTheNextStepOn() throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder("llama-tied-bias"), ONE_THREAD);
        Decoder both = model.decoder(2, LENGTH, HookPoint.residPre(1));
        Decoder one = model.decoder(1, LENGTH, HookPoint.residPre(1))) {
      both.step(new int[] {1, 5});
      one.step(new int[] {5});
      both.steer(direction(model), 2);
      one.steer(direction(model), 2);
      both.step(new int[] {2, 6});
      one.step(new int[] {6});
      int vocabulary = model.vocabularySize();
      assertEquals(one.logits(), both.logits().slice(vocabulary, vocabulary));
      both.drop(0); // binds the graph's inputs anew
      both.step(new int[] {7});
      one.step(new int[] {7});
      assertEquals(one.logits(), both.logits());
    }
  }

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void onTheDeviceAsOnTheHost(String name) throws IOException {
    SharedMemory.assume();
    assumeFalse(SharedMemory.onGpu(), "the host computes in float32");
    HookPoint hook = HookPoint.residPre(1);
    try (Backend backend = SharedMemory.backend();
        OnnxModel model =
            OnnxModel.open(GoldenModels.folder(name), SharedMemory.options(), backend);
        Decoder onHost = model.decoder(2, LENGTH, hook);
        DeviceDecoder onDevice = model.deviceDecoder(2, LENGTH, 1, hook)) {
      FloatBuffer logits = onDevice.keep(Graphs.LOGITS);
      int[] next = {1, 2};
      for (int step = 0; step < LENGTH; step++) {
        double coefficient = 0.5 * step;
        onHost.steer(direction(model), coefficient);
        onDevice.steer(direction(model), coefficient);
        onHost.step(next);
        onDevice.step(next, new double[] {0.3, 0.6}, next);
        for (int i = 0; i < logits.capacity(); i++) {
          assertEquals(onHost.logits().get(i), logits.get(i), TOLERANCE, name + " step " + step);
        }
      }
    }
  }

  @Test
  void rejectsBadCalls() throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder("gpt2-tied"), ONE_THREAD);
        Decoder plain = model.decoder(1, LENGTH)) {
      Decoder steered = model.decoder(1, LENGTH, HookPoint.residPre(1));
      assertSays(
          () -> model.decoder(1, LENGTH, HookPoint.residPre(3)), "got blocks.3.hook_resid_pre");
      assertSays(
          () -> model.decoder(1, LENGTH, HookPoint.parse("blocks.0.hook_z")),
          "got blocks.0.hook_z");
      assertSays(
          () -> steered.steer(new float[12], 1),
          "a steering vector of 20 numbers, got 12; use a direction");
      float[] vector = direction(model);
      assertSays(
          () -> steered.steer(vector, Double.NaN),
          "expected a finite coefficient * vector, got NaN * ");
      assertSays(() -> steered.steer(vector, 1e300), "at index 0; use a smaller coefficient");
      IllegalStateException without =
          assertThrows(IllegalStateException.class, () -> plain.steer(vector, 1));
      assertTrue(without.getMessage().contains("pass the hook point"), without.getMessage());
      steered.close();
      assertThrows(IllegalStateException.class, () -> steered.steer(vector, 1));
    }
  }

  private static void assertSays(Runnable call, String part) {
    String message = assertThrows(IllegalArgumentException.class, call::run).getMessage();
    assertTrue(message.contains(part), message);
  }

  private static int[] greedy(Decoder decoder) {
    decoder.start(1);
    int[] tokens = new int[LENGTH];
    tokens[0] = 1;
    for (int at = 1; at < LENGTH; at++) {
      decoder.step(new int[] {tokens[at - 1]});
      tokens[at] = likeliest(decoder.logits());
    }
    return tokens;
  }

  private static int likeliest(FloatBuffer logits) {
    int best = 0;
    for (int token = 1; token < logits.capacity(); token++) {
      best = logits.get(token) > logits.get(best) ? token : best;
    }
    return best;
  }

  private static float[] direction(OnnxModel model) {
    return direction(model.dModel());
  }

  private static float[] direction(int width) {
    Random random = new Random(5);
    float[] vector = new float[width];
    for (int i = 0; i < vector.length; i++) {
      vector[i] = (float) random.nextGaussian();
    }
    return vector;
  }
}
