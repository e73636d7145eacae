package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Activation;
import io.faithfulsae.Activation.AbsTopK;
import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.Gated;
import io.faithfulsae.Activation.GroupMax;
import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.ActivationBatch;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Latents;
import io.faithfulsae.Latents.Active;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.models.Intervention.ClampLatent;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The latents that a graph computes, against {@link Sae#encode(ActivationBatch)}: every activation
 * and normalization. What is clamped outside and put back must give what the graph gives.
 */
class ClampedLatentsTest {
  private static final int[][] TOKENS = {{1, 5, 9, 2, 7, 3, 8, 4}, {6, 2, 2, 30, 11, 40, 12, 1}};
  private static final int LATENTS = 24;
  private static final HookPoint HOOK = HookPoint.residPre(1);
  private static final float TOLERANCE = 2e-4f;

  static Stream<Arguments> kinds() {
    List<Activation> activations =
        List.of(
            new Relu(),
            new JumpRelu(),
            new Gated(),
            new TopK(6),
            new AbsTopK(6),
            new GroupMax(6),
            new BatchTopK(6, 0.4f));
    return activations.stream()
        .flatMap(each -> Stream.of(Normalization.values()).map(how -> Arguments.of(each, how)));
  }

  @ParameterizedTest
  @MethodSource("kinds")
  void clampedInTheGraphAsOutside(Activation activation, Normalization how) throws IOException {
    try (OnnxModel model =
            OnnxModel.open(GoldenModels.folder("llama-tied-bias"), new OnnxModel.Options(1));
        Backend backend = new ReferenceBackend();
        Sae sae =
            RandomSae.create(
                new SaeConfig(
                    model.dModel(), LATENTS, activation, how != Normalization.UNIT_NORM, how),
                backend,
                3)) {
      int rows = TOKENS.length * TOKENS[0].length;
      FloatBuffer x = FloatRows.allocate(rows, model.dModel());
      model.activations(HOOK, TOKENS, x);
      List<Intervention> clamps = new ArrayList<>();
      for (int latent = 0; latent < LATENTS; latent += 3) {
        clamps.add(new ClampLatent(HOOK, sae, latent, latent % 2 == 0 ? 0 : 0.25 * latent));
      }
      FloatBuffer expected = outside(sae, x, rows, clamps);
      FloatBuffer changed = FloatRows.allocate(rows, model.dModel());
      model.activations(List.of(HOOK), TOKENS, clamps, List.of(changed));
      float most = 0;
      for (int i = 0; i < expected.capacity(); i++) {
        assertEquals(expected.get(i), changed.get(i), TOLERANCE, "element " + i);
        most = Math.max(most, Math.abs(x.get(i) - expected.get(i)));
      }
      assertTrue(most > 0.1, "nothing was clamped");
      FloatBuffer logits = FloatRows.allocate(rows, model.vocabularySize());
      FloatBuffer computed = FloatRows.allocate(rows, model.vocabularySize());
      model.logits(TOKENS, Map.of(HOOK, expected), logits);
      model.logits(TOKENS, clamps, computed);
      for (int i = 0; i < logits.capacity(); i++) {
        assertEquals(logits.get(i), computed.get(i), 10 * TOLERANCE, "logit " + i);
      }
    }
  }

  /** x + (value - z) · W_dec for each clamped latent, scaled as the SAE scales what it decodes. */
  private static FloatBuffer outside(Sae sae, FloatBuffer x, int rows, List<Intervention> clamps) {
    int d = sae.config().dIn();
    FloatBuffer changed = FloatRows.allocate(rows, d).put(0, x, 0, rows * d);
    int fired = 0;
    try (ActivationBatch batch = ActivationBatch.allocate(sae.backend(), rows, d)) {
      batch.data().put(0, x, 0, rows * d);
      batch.rows(rows);
      try (Latents latents = sae.encode(batch)) {
        for (int row = 0; row < rows; row++) {
          for (Intervention each : clamps) {
            ClampLatent clamp = (ClampLatent) each;
            double z = 0;
            for (Active active : latents.row(row)) {
              z += active.latent() == clamp.latent() ? active.value() : 0;
            }
            fired += z == 0 ? 0 : 1;
            float[] direction = sae.decoderDirection(clamp.latent());
            for (int i = 0; i < d; i++) {
              double change = (clamp.value() - z) * direction[i] * latents.scale(row);
              changed.put(row * d + i, (float) (changed.get(row * d + i) + change));
            }
          }
        }
      }
    }
    assertTrue(fired > 5 && fired < rows * clamps.size() - 5, fired + " fired");
    return changed;
  }
}
