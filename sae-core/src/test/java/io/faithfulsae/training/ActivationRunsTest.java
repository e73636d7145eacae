package io.faithfulsae.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import io.faithfulsae.Activation;
import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.spi.StepConfig.Prefix;
import io.faithfulsae.synthetic.SyntheticFeatures;
import io.faithfulsae.synthetic.SyntheticFeatures.Magnitude;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Runs of activations other than TopK, from the source to the folder. A subclass opens the backend.
 */
public abstract class ActivationRunsTest extends RunFixture {
  private static final Activation GATED = new Activation.Gated();
  private static final int D_SAE = 24;
  private static final int LONG = 400;
  private static final ActivationSource MANY =
      SyntheticFeatures.superposition(12, D_IN, 2, Magnitude.UNIFORM, 0.01, 4000, 5);

  /**
   * A family.
   *
   * @param config for its activation
   */
  record Family(String name, Activation activation, TrainingConfig config) {
    SaeConfig sae() {
      return new SaeConfig(D_IN, D_SAE, activation, true, Normalization.NONE);
    }

    @Override
    public String toString() {
      return name;
    }
  }

  static Stream<Family> families() {
    Activation batch = new Activation.BatchTopK(2, null);
    TrainingConfig ranked = TrainingConfig.saeLens(batch, D_IN);
    TrainingConfig byBatch = ranked.toBuilder().rankByNorm(false).auxSigned(false).build();
    List<Prefix> prefixes = List.of(new Prefix(8, 1), new Prefix(D_SAE, 1));
    Activation relu = new Activation.Relu();
    Activation jump = new Activation.JumpRelu();
    return Stream.of(
        family(
            "gated",
            GATED,
            TrainingConfig.saeLens(GATED, D_IN).toBuilder().sparsityCoefficient(0.15).build()),
        family(
            "GroupMax",
            new Activation.GroupMax(3),
            TrainingConfig.builder().trainEncoderBias(true).build()),
        family("BatchTopK", batch, byBatch),
        family("BatchTopK by norm", batch, ranked),
        family("TopK by norm", new Activation.TopK(2), ranked),
        family("AbsTopK by norm", new Activation.AbsTopK(2), ranked),
        family(
            "Matryoshka by norm, dead latents by prefix",
            batch,
            ranked.toBuilder().prefixes(prefixes).auxByPrefix(true).deadAfterBatches(5).build()),
        family("Matryoshka", batch, byBatch.toBuilder().prefixes(prefixes).build()),
        family(
            "ReLU",
            relu,
            TrainingConfig.saeLens(relu, D_IN).toBuilder().sparsityCoefficient(0.15).build()),
        family(
            "JumpReLU",
            jump,
            TrainingConfig.saeLens(jump, D_IN).toBuilder().sparsityCoefficient(0.02).build()),
        family(
            "JumpReLU with a target",
            jump,
            TrainingConfig.dictionaryLearning(jump, D_IN, D_SAE).toBuilder()
                .targetL0(3)
                .bandwidth(0.05)
                .sparsityWarmupSteps(10)
                .warmupSteps(0)
                .build()));
  }

  private static Family family(String name, Activation activation, TrainingConfig config) {
    return new Family(
        name,
        activation,
        config.toBuilder()
            .tokens(16L * STEPS)
            .batch(16)
            .bufferRows(70)
            .lr(1e-2)
            .seed(3)
            .checkpointSteps(5)
            .build());
  }

  @ParameterizedTest
  @MethodSource("families")
  void otherActivationsResumeToTheSameBits(Family family) throws IOException, InterruptedException {
    ask(family);
    assertResumesToTheSameBits(SaeTrainer.of(family.sae(), family.config(), backend));
  }

  @ParameterizedTest
  @MethodSource("families")
  void otherActivationsLearn(Family family) throws IOException, InterruptedException {
    ask(family);
    List<TrainingProgress> received = new ArrayList<>();
    TrainingConfig config =
        family.config().toBuilder().tokens(16L * LONG).bufferRows(640).checkpointSteps(0).build();
    Path dir = folder.resolve("run");
    finish(
        SaeTrainer.of(family.sae(), config, backend).withListener(received::add).start(MANY, dir));
    TrainingProgress last = received.get(LONG - 1);
    assertTrue(last.fvu() < 0.35, "FVU: " + last);
    assertTrue(last.l0() > 0.5 && last.l0() < 9, "L0: " + last);
    try (Sae sae = Sae.load(dir, backend)) {
      assertEquals(D_SAE, sae.config().dSae());
      if (family.config().step().rankByNorm()) {
        for (int j = 0; j < D_SAE; j++) {
          double squares = 0;
          for (float weight : sae.decoderDirection(j)) {
            squares += (double) weight * weight;
          }
          assertEquals(1, squares, 1e-5, "norms are folded");
        }
        assertTrue(unexplained(sae) < 0.35, "what is saved is what was trained");
      }
      if (family.activation().tensors().isEmpty() || family.activation().equals(GATED)) {
        assertEquals(family.activation(), sae.config().activation());
        return;
      }
      FloatBuffer thresholds = DirectBuffers.floats(D_SAE);
      sae.parameters().read(Tensor.THRESHOLD, 0, thresholds);
      float least = Float.MAX_VALUE;
      float most = 0;
      for (int j = 0; j < D_SAE; j++) {
        least = Math.min(least, thresholds.get(j));
        most = Math.max(most, thresholds.get(j));
      }
      assertTrue(most > 0 && most < 3, "thresholds up to " + most);
      if (family.activation() instanceof Activation.BatchTopK) {
        assertEquals(most, least, "one threshold for all");
      } else {
        assertTrue(least < most, "each latent has its own");
      }
    }
  }

  /** FVU on the rows of {@link #MANY}, whose mean counts as 0. */
  private static double unexplained(Sae sae) throws IOException {
    int rows = 512;
    try (ActivationBatch x = ActivationBatch.allocate(sae.backend(), rows, D_IN);
        ActivationBatch out = ActivationBatch.allocate(sae.backend(), rows, D_IN);
        Latents latents = Latents.allocate(sae, rows);
        ActivationReader reader = MANY.open(0)) {
      reader.read(x);
      sae.encode(x, latents);
      sae.decode(latents, out);
      double error = 0;
      double total = 0;
      for (int i = 0; i < x.rows() * D_IN; i++) {
        error += Math.pow(x.data().get(i) - out.data().get(i), 2);
        total += Math.pow(x.data().get(i), 2);
      }
      return error / total;
    }
  }

  /** Skips what the backend cannot train. */
  private void ask(Family family) {
    try (BackendSae sae = backend.createSae(family.sae().shape())) {
      sae.trainer(SaeTrainer.selection(family.sae()), family.config().step(), Gradients.NONE)
          .close();
    } catch (BackendUnavailableException e) {
      abort(String.valueOf(e.getMessage()));
    }
  }

  @Test
  void whatCannotBeTrainedIsRefusedBeforeTheRun() {
    TrainingConfig config = TrainingConfig.builder().build();
    SaeConfig gated = new SaeConfig(D_IN, D_SAE, GATED, true, Normalization.NONE);
    assertMessage(
        IllegalArgumentException.class,
        () -> SaeTrainer.of(gated, config, backend),
        "auxCoefficient = 0 for a gated SAE");
    TrainingConfig sparse = TrainingConfig.saeLens(new Activation.Relu(), D_IN);
    assertThrows(
        IllegalArgumentException.class,
        () -> SaeTrainer.of(SaeConfig.topK(D_IN, D_SAE, 2), sparse, backend));
  }
}
