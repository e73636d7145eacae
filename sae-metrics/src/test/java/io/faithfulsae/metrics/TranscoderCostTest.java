package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** The cross entropy with a transcoder's outputs at the hook point that it predicts. */
final class TranscoderCostTest {
  private static final int D = 6;
  private static final int VOCABULARY = 10;
  private static final HookPoint READS = HookPoint.residPre(0);
  private static final HookPoint WRITES = HookPoint.residPre(1);
  private static final int[][] TEXT = {{0, 3, 5, 7, 2}, {0, 2, 4, 9}, {0, 9, 1, 1, 6, 8}};

  private final TinyModel model =
      new TinyModel(
          D,
          Given.gaussian(VOCABULARY * D, 3),
          List.of(Given.gaussian(D * D, 4), Given.gaussian(D * D, 5)),
          Given.gaussian(VOCABULARY * D, 2));

  private static Sae transcoder(Backend backend, boolean writesNothing) {
    SaeConfig config = new SaeConfig(D, D, 9, new JumpRelu(), false, Normalization.NONE, true);
    Sae sae = Sae.create(config, Map.of(), backend);
    if (!writesNothing) {
      Given.write(sae, Tensor.W_ENC, Given.gaussian(9 * D, 5));
      Given.write(sae, Tensor.W_DEC, Given.gaussian(9 * D, 6));
      Given.write(sae, Tensor.B_DEC, Given.gaussian(D, 7));
      Given.write(sae, Tensor.W_SKIP, Given.gaussian(D * D, 8));
    }
    return sae;
  }

  /** Against a model run by hand; BOS keeps its own activations. */
  @Test
  void outputsReplaceTheTarget() throws IOException {
    ActivationFilter afterBos = new ActivationFilter(1, Set.of(), Double.POSITIVE_INFINITY);
    ModelActivations activations = new ModelActivations(model, READS, Given.text(TEXT), afterBos);
    try (Backend backend = new ReferenceBackend();
        Sae sae = transcoder(backend, false)) {
      CrossEntropy seen = Metrics.crossEntropy(List.of(sae), activations, WRITES, 50).get(0);
      double clean = 0;
      double replaced = 0;
      double zeros = 0;
      int predicted = 0;
      for (int[] tokens : TEXT) {
        FloatBuffer target = FloatBuffer.allocate(tokens.length * D);
        model.activations(WRITES, new int[][] {tokens}, target);
        clean += loss(tokens, target);
        FloatBuffer changed = FloatBuffer.wrap(target.array().clone());
        FloatBuffer none = FloatBuffer.wrap(target.array().clone());
        float[] outputs = outputs(sae, tokens);
        for (int i = D; i < outputs.length; i++) {
          changed.put(i, outputs[i]);
          none.put(i, 0);
        }
        replaced += loss(tokens, changed);
        zeros += loss(tokens, none);
        predicted += tokens.length - 1;
      }
      assertEquals(WRITES.toString(), seen.hook());
      assertEquals(predicted, seen.tokensPredicted());
      assertEquals(3, seen.positionsKept());
      assertEquals(clean / predicted, seen.clean(), 1e-5);
      assertEquals(replaced / predicted, seen.replaced(), 1e-5);
      assertEquals(zeros / predicted, seen.zeroAblated(), 1e-5);
      assertTrue(Math.abs(seen.difference()) > 0.1, "they differ: " + seen.difference());
    }
  }

  @Test
  void oneThatWritesNothingIsAsGoodAsZeros() throws IOException {
    ModelActivations activations =
        new ModelActivations(model, READS, Given.text(TEXT), ActivationFilter.NONE);
    try (Backend backend = new ReferenceBackend();
        Sae sae = transcoder(backend, true)) {
      CrossEntropy seen = Metrics.crossEntropy(List.of(sae), activations, WRITES, 50).get(0);
      assertEquals(seen.zeroAblated(), seen.replaced());
      assertEquals(0, seen.lossRecovered(), 1e-12);
      assertThrows(
          IllegalArgumentException.class,
          () ->
              Metrics.crossEntropy(List.of(sae), activations, new HookPoint(9, "hook_mlp_out"), 50),
          "the model has no such target");
    }
  }

  private float[] outputs(Sae sae, int[] tokens) {
    try (ActivationBatch x = ActivationBatch.allocate(sae.backend(), tokens.length, D);
        ActivationBatch out = ActivationBatch.allocate(sae.backend(), tokens.length, D);
        Latents latents = Latents.allocate(sae, tokens.length)) {
      FloatBuffer read = FloatBuffer.allocate(tokens.length * D);
      model.activations(READS, new int[][] {tokens}, read);
      x.data().put(0, read, 0, read.capacity());
      x.rows(tokens.length);
      sae.encode(x, latents);
      sae.decode(latents, x, out);
      float[] values = new float[tokens.length * D];
      out.data().get(0, values);
      return values;
    }
  }

  /** Sum over the predicted positions. */
  private double loss(int[] tokens, FloatBuffer target) {
    FloatBuffer logits = FloatBuffer.allocate(tokens.length * VOCABULARY);
    model.logitsFrom(WRITES, target, 1, tokens.length, logits);
    double sum = 0;
    for (int t = 0; t + 1 < tokens.length; t++) {
      double total = 0;
      for (int v = 0; v < VOCABULARY; v++) {
        total += Math.exp(logits.get(t * VOCABULARY + v));
      }
      sum += Math.log(total) - logits.get(t * VOCABULARY + tokens[t + 1]);
    }
    return sum;
  }
}
