package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.models.Intervention.AddDirection;
import io.faithfulsae.models.Intervention.ClampLatent;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Generation with a direction added, against full forward passes over all tokens so far, in which
 * the activations at the hook point are read, added to and put back at every position; and what
 * interventions require. {@link InterventionGoldenTest} has other people's numbers.
 */
class InterventionTest {
  private static final OnnxModel.Options ONE_THREAD = new OnnxModel.Options(1);
  private static final int LENGTH = 10;
  private static final float TOLERANCE = 1e-3f; // float32, logits of size 1 to 100
  private static final HookPoint MIDDLE = HookPoint.residPre(1);

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void steeredGenerationIsThatOfFullForwardPasses(String name) throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder(name), ONE_THREAD)) {
      List<HookPoint> hooks = model.hookPoints();
      for (HookPoint hook : hooks) {
        if (hook.layer() == 1) {
          steeredAt(model, hook);
        }
      }
      steeredAt(model, HookPoint.embed());
      steeredAt(model, HookPoint.residPre(0));
      steeredAt(model, hooks.get(hooks.size() - 1));
    }
  }

  private static void steeredAt(OnnxModel model, HookPoint hook) {
    AddDirection add = steering(model, hook, 1.5);
    int vocabulary = model.vocabularySize();
    int[] tokens = new int[LENGTH];
    tokens[0] = 1;
    float most = 0;
    try (Decoder steered = model.decoder(1, LENGTH, List.of(add));
        Decoder plain = model.decoder(1, LENGTH)) {
      for (int length = 1; length < LENGTH; length++) {
        FloatBuffer expected = withFullPass(model, add, Arrays.copyOf(tokens, length));
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
  private static FloatBuffer withFullPass(OnnxModel model, AddDirection add, int[] tokens) {
    int[][] batch = {tokens};
    float[] direction = add.direction();
    FloatBuffer rows = FloatBuffer.allocate(tokens.length * model.width(add.hook()));
    model.activations(add.hook(), batch, rows);
    for (int i = 0; i < rows.capacity(); i++) {
      rows.put(i, (float) (rows.get(i) + add.strength() * direction[i % direction.length]));
    }
    int vocabulary = model.vocabularySize();
    FloatBuffer logits = FloatBuffer.allocate(tokens.length * vocabulary);
    model.logits(batch, Map.of(add.hook(), rows), logits);
    return logits.slice((tokens.length - 1) * vocabulary, vocabulary);
  }

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void turnedOffTheyChangeNothingAndALargeOneChangesTheText(String name) throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder(name), ONE_THREAD)) {
      try (Decoder plain = model.decoder(1, LENGTH);
          Decoder steered = model.decoder(1, LENGTH, List.of(steering(model, MIDDLE, 1e4)))) {
        int[] text = greedy(plain);
        assertFalse(Arrays.equals(text, greedy(steered)), name);
        steered.intervene(false);
        assertArrayEquals(text, greedy(steered), name);
        assertEquals(plain.logits(), steered.logits(), name + " to the bit");
      }
    }
  }

  @Test
  void everyRowIsChangedFromTheNextStepOn() throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder("llama-tied-bias"), ONE_THREAD);
        Decoder both = model.decoder(2, LENGTH, List.of(steering(model, MIDDLE, 2)));
        Decoder one = model.decoder(1, LENGTH, List.of(steering(model, MIDDLE, 2)));
        Decoder plain = model.decoder(1, LENGTH)) {
      both.intervene(false);
      one.intervene(false);
      both.step(new int[] {1, 5});
      one.step(new int[] {5});
      plain.step(new int[] {5});
      assertEquals(plain.logits(), one.logits(), "not yet");
      both.intervene(true);
      one.intervene(true);
      both.step(new int[] {2, 6});
      one.step(new int[] {6});
      plain.step(new int[] {6});
      assertNotEquals(plain.logits(), one.logits());
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
    try (Backend backend = SharedMemory.backend();
        OnnxModel model =
            OnnxModel.open(GoldenModels.folder(name), SharedMemory.options(), backend);
        Sae sae = sae(SaeConfig.topK(model.dModel(), 32, 4), backend)) {
      List<Intervention> changes =
          List.of(
              steering(model, MIDDLE, 1.5),
              new ClampLatent(HookPoint.residPre(0), sae, 3, 2),
              new ClampLatent(HookPoint.residPre(0), sae, 5, 0));
      try (Decoder onHost = model.decoder(2, LENGTH, changes);
          DeviceDecoder onDevice = model.deviceDecoder(2, LENGTH, 1, changes)) {
        FloatBuffer logits = onDevice.keep(Graphs.LOGITS);
        int[] next = {1, 2};
        for (int step = 0; step < LENGTH; step++) {
          onHost.intervene(step % 3 > 0);
          onDevice.intervene(step % 3 > 0);
          onHost.step(next);
          onDevice.step(next, new double[] {0.3, 0.6}, next);
          for (int i = 0; i < logits.capacity(); i++) {
            assertEquals(onHost.logits().get(i), logits.get(i), TOLERANCE, name + " step " + step);
          }
        }
      }
    }
  }

  /** So that a model keeps the weights of decoding once for all of them. */
  @Test
  void otherStrengthsAndLatentsUseTheSameGraph() throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder("qwen2"), ONE_THREAD);
        Backend backend = new ReferenceBackend();
        Sae small = sae(SaeConfig.topK(model.dModel(), 32, 4), backend);
        Sae large = sae(SaeConfig.topK(model.dModel(), 48, 4), backend);
        Sae other = sae(SaeConfig.topK(model.dModel(), 32, 5), backend)) {
      String key = key(model, steering(model, MIDDLE, 1), new ClampLatent(MIDDLE, small, 1, 2));
      assertEquals(
          key, key(model, new ClampLatent(MIDDLE, large, 40, 0), steering(model, MIDDLE, 5)));
      assertNotEquals(
          key, key(model, steering(model, MIDDLE, 1), new ClampLatent(MIDDLE, other, 1, 2)));
      assertNotEquals(key, key(model, new ClampLatent(MIDDLE, small, 1, 2)));
      assertEquals("", key(model));
    }
  }

  private static String key(OnnxModel model, Intervention... all) {
    return Interventions.of(List.of(all), model).key();
  }

  @Test
  void rejectsBadCalls() throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder("gpt2-tied"), ONE_THREAD);
        Backend backend = new ReferenceBackend();
        Sae sae = sae(SaeConfig.topK(20, 32, 4), backend);
        Sae narrow = sae(SaeConfig.topK(12, 32, 4), backend);
        Sae batch =
            sae(new SaeConfig(20, 32, new BatchTopK(4, null), true, Normalization.NONE), backend);
        Sae transcoder =
            sae(new SaeConfig(20, 12, 32, new Relu(), false, Normalization.NONE, false), backend)) {
      assertSays(
          () -> open(model, new AddDirection(HookPoint.residPre(3), new float[20], 1)),
          "got blocks.3.hook_resid_pre");
      assertSays(
          () -> open(model, new AddDirection(HookPoint.parse("blocks.0.hook_z"), new float[20], 1)),
          "hook_embed or blocks.L.SITE with L in [0, 3) and SITE one of [hook_resid_pre, attn.hook_z,");
      assertSays(
          () -> open(model, new AddDirection(MIDDLE, new float[12], 1)),
          "a direction of length = 20, the width at blocks.1.hook_resid_pre, got 12");
      assertSays(() -> open(model, new ClampLatent(MIDDLE, narrow, 1, 1)), "an SAE with d_in = 20");
      assertSays(
          () -> open(model, new ClampLatent(MIDDLE, sae, 1, 1), new ClampLatent(MIDDLE, sae, 1, 2)),
          "one value for each latent, got two for 1");
      assertSays(() -> new ClampLatent(MIDDLE, sae, 32, 1), "latent in [0, 31], got 32");
      assertSays(() -> new ClampLatent(MIDDLE, sae, 1, 1e300), "a finite value, got 1.0E300");
      assertSays(() -> new ClampLatent(MIDDLE, batch, 1, 1), "depend on one row alone");
      assertSays(() -> new ClampLatent(MIDDLE, transcoder, 1, 1), "got a transcoder");
      float[] direction = steering(model, MIDDLE, 1).direction();
      assertSays(
          () -> new AddDirection(MIDDLE, direction, Double.NaN),
          "expected a finite strength * direction, got NaN * ");
      assertSays(
          () -> new AddDirection(MIDDLE, direction, 1e300), "at index 0; use a smaller strength");
      Decoder closed = model.decoder(1, LENGTH, List.of(steering(model, MIDDLE, 1)));
      closed.close();
      assertThrows(IllegalStateException.class, () -> closed.intervene(true));
      assertThrows(IllegalStateException.class, () -> Intervention.ablate(sae, 1), "no hook_name");
    }
  }

  private static void open(OnnxModel model, Intervention... all) {
    model.decoder(1, LENGTH, List.of(all)).close();
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

  private static AddDirection steering(OnnxModel model, HookPoint hook, double strength) {
    return new AddDirection(hook, RandomSae.gaussian(5, model.width(hook)), strength);
  }

  private static Sae sae(SaeConfig config, Backend on) {
    return RandomSae.create(config, on, 7);
  }
}
