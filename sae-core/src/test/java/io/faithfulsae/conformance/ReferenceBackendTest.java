package io.faithfulsae.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.conformance.Data.Encoded;
import io.faithfulsae.conformance.TrainingSetup.Run;
import io.faithfulsae.conformance.TrainingSetup.Variant;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.StepStats;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.StepConfig;
import io.faithfulsae.spi.StepConfig.AuxNorm;
import io.faithfulsae.spi.StepConfig.DecoderNorm;
import io.faithfulsae.spi.StepConfig.Loss;
import io.faithfulsae.spi.StepConfig.Optimizer;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The reference meets the contract, and agrees with values worked out by hand and with finite
 * differences of its loss.
 */
@Tag("slow")
class ReferenceBackendTest extends BackendConformanceTest {

  @Override
  protected Backend open() {
    return new ReferenceBackend();
  }

  // Not tests here: they would compare the reference with itself.

  @Override
  public void trainsAsTheReference(Variant variant) {}

  @Override
  public void partsTrainAsTheReference(Variant variant) {}

  @Override
  public void partsOfTwoBackendsTrainAsTheReference(Variant variant) {}

  @Override
  public void otherActivationsTrainAsTheReference(Variant variant) {}

  @Override
  public void otherActivationsTrainInPartsAsTheReference(Variant variant) {}

  @Test
  void encodesAndDecodesByHand() {
    try (BackendSae sae = backend().createSae(2, 3, true)) {
      sae.write(Tensor.W_ENC, 0, Data.direct(1, 0, 0, 1, -1, -1));
      sae.write(Tensor.B_ENC, 0, Data.direct(0, 1, 0.5f));
      sae.write(Tensor.W_DEC, 0, Data.direct(1, 0, 0, 1, -1, -1));
      sae.write(Tensor.B_DEC, 0, Data.direct(1, 2));
      // x − b_dec = (2, 2): z_pre = 2, 3, −3.5
      Encoded z = Data.encode(backend(), sae, new float[] {3, 4}, 1, 2);
      assertArrayEquals(new int[] {1, 0}, z.indices());
      assertArrayEquals(new float[] {3, 2}, z.values());
      assertArrayEquals(
          new float[] {3, 5}, Data.decode(backend(), sae, z, 1, 2)); // 2·(1,0) + 3·(0,1) + (1,2)
    }
  }

  /**
   * One step, one row, d_in = d_sae = 2, k = 1, latent 1 dead from the start. By hand: x = (2, 1),
   * W_enc = I, W_dec = I, biases 0: z = (2, 0), x̂ = (2, 0), e = (0, −1); the dead latent 1 has z =
   * 1: r = (0, 1) + e = (0, 0).
   */
  @Test
  void auxiliaryTermByHand() {
    StepConfig config =
        StepConfig.builder().deadAfterBatches(1).auxCoefficient(0.5).clipNorm(0).build();
    try (BackendSae sae = identity();
        BackendTrainer trainer = sae.trainer(1, config);
        DeviceBuffer x = Data.upload(backend(), 2f, 1f)) {
      trainer.step(x, 1, 0);
      assertEquals(new StepStats(1, 0.5, 0.5, 0, 1, 1, 0, 0), trainer.stats()); // e² / 2
    }
    try (BackendSae sae = identity();
        BackendTrainer trainer = sae.trainer(1, config);
        DeviceBuffer x = Data.upload(backend(), 2f, -1f)) {
      trainer.step(x, 1, 0); // now the dead latent does not fire: r = e, aux = 0.5 · mean e²
      assertEquals(new StepStats(1, 0.75, 0.5, 0.25, 1, 1, 0, 0), trainer.stats());
    }
  }

  /** Adam's first step moves every parameter with a gradient by lr against its sign. */
  @Test
  void firstStepOfAdamByHand() {
    StepConfig config =
        StepConfig.builder()
            .auxCoefficient(0)
            .decoderNorm(DecoderNorm.NONE)
            .projectGradient(false)
            .build();
    try (BackendSae sae = identity();
        BackendTrainer trainer = sae.trainer(1, config);
        DeviceBuffer x = Data.upload(backend(), 2f, 1f)) {
      sae.write(
          Tensor.W_DEC,
          0,
          Data.direct(2, 0, 0, 1)); // x̂ = (4, 0), e = (2, −1), dL/dx̂ = e = (2, −1)
      trainer.step(x, 1, 0.125);
      // dL/dz = 2·2 = 4; dW_enc row 0 = 4·(2, 1); dW_dec row 0 = 2·(2, −1); db_dec = (2, −1) −
      // 4·(1, 0) = (−2, −1)
      assertArrayEquals(new float[] {0.875f, -0.125f, 0, 1}, Data.read(sae, Tensor.W_ENC), 1e-7f);
      assertArrayEquals(new float[] {1.875f, 0.125f, 0, 1}, Data.read(sae, Tensor.W_DEC), 1e-7f);
      assertArrayEquals(new float[] {0.125f, 0.125f}, Data.read(sae, Tensor.B_DEC), 1e-7f);
      assertEquals(Math.sqrt(64 + 16 + 16 + 4 + 4 + 1), trainer.stats().gradientNorm(), 1e-12);
    }
  }

  private BackendSae identity() {
    BackendSae sae = backend().createSae(2, 2, true);
    sae.write(Tensor.W_ENC, 0, Data.direct(1, 0, 0, 1));
    sae.write(Tensor.W_DEC, 0, Data.direct(1, 0, 0, 1));
    return sae;
  }

  @ParameterizedTest
  @EnumSource(Loss.class)
  void gradientIsTheSlopeOfTheLoss(Loss loss) {
    for (AuxNorm norm : AuxNorm.values()) {
      if (norm
          != AuxNorm
              .RESIDUAL_VARIANCE) { // its denominator is a constant for the gradient, but not for
        // the
        // loss
        assertGradient(
            TrainingSetup.STUDY.config().toBuilder().loss(loss).auxNorm(norm).build(), true);
      }
    }
    assertGradient(TrainingSetup.STUDY.config().toBuilder().loss(loss).build(), false);
  }

  /**
   * Adam's first moment after one step is (1 − β1)·gradient; each is compared with the central
   * difference of the loss. The step is small enough that no latent enters or leaves a top-k; the
   * rounding of pre-activations to float32 then leaves a few thousandths of the largest gradient.
   */
  private void assertGradient(StepConfig config, boolean subtract) {
    StepConfig plain =
        config.toBuilder()
            .deadAfterBatches(1)
            .trainEncoderBias(true)
            .projectGradient(false)
            .decoderNorm(DecoderNorm.NONE)
            .build();
    assertGradient(new Variant("", subtract, plain));
  }

  /** Of the activations whose losses have a slope; straight-through estimates have none. */
  @Test
  void gradientsOfOtherActivationsAreTheSlopesOfTheirLosses() {
    ActivationTrainingCases.variants().stream()
        .filter(variant -> !variant.thresholds() || variant.selection().k() > 0)
        .filter(variant -> variant.config().aux().norm() != AuxNorm.RESIDUAL_VARIANCE)
        .filter(variant -> !variant.config().sparsity().gateDetach())
        .filter(variant -> !variant.config().weights().freezeDecoder())
        .filter(variant -> !variant.config().aux().byPrefix()) // always detached
        .forEach(
            variant ->
                assertGradient(
                    new Variant(
                        variant.name(),
                        variant.subtract(),
                        variant.selection(),
                        variant.thresholds(),
                        variant.config().toBuilder()
                            .auxDetach(false)
                            .deadAfterBatches(1)
                            .clipNorm(0)
                            .sparsityWarmupSteps(0)
                            .optimizer(Optimizer.ADAM) // whose first moments are gradients
                            .beta1(0.9)
                            .trainEncoderBias(true)
                            .projectGradient(false)
                            .decoderNorm(DecoderNorm.NONE)
                            .build())));
  }

  private void assertGradient(Variant variant) {
    Data.Weights weights = TrainingSetup.weights(variant);
    double step = 0x1p-15;
    boolean encoder = variant.config().multiTopK() == 0; // which gives it no gradient
    Set<Tensor> sloped = encoder ? Tensor.COMMON : Set.of(Tensor.W_DEC);
    for (Tensor tensor : sloped) {
      float[] values =
          switch (tensor) {
            case W_ENC -> weights.wEnc();
            case B_ENC -> weights.bEnc();
            case W_DEC -> weights.wDec();
            case B_DEC -> weights.bDec();
            default -> throw new AssertionError(tensor);
          };
      int n = (int) variant.shape().elements(tensor);
      float[] gradient = gradient(weights, variant, tensor, n);
      double largest = 0;
      for (float g : gradient) {
        largest = Math.max(largest, Math.abs(g));
      }
      for (int at = 0; at < n; at += n / 12) {
        float kept = values[at];
        float up = kept + (float) step;
        float down = kept - (float) step;
        values[at] = up;
        double above = loss(weights, variant);
        values[at] = down;
        double below = loss(weights, variant);
        values[at] = kept;
        double slope = (above - below) / ((double) up - down);
        assertEquals(slope, gradient[at], 1e-2 * largest, variant + " " + tensor + " at " + at);
      }
    }
  }

  private float[] gradient(Data.Weights weights, Variant variant, Tensor tensor, int n) {
    try (BackendSae sae = weights.on(backend(), variant.shape());
        BackendTrainer trainer = TrainingSetup.trainer(sae, variant)) {
      TrainingSetup.train(backend(), variant, trainer, 0, 1);
      float[] moment = new float[n];
      ByteBuffer host = Data.directBytes(4L * n);
      trainer.read(BackendTrainer.State.values()[tensor.ordinal()], 0, host);
      host.asFloatBuffer().get(moment);
      for (int i = 0; i < n; i++) {
        moment[i] /= (float) (1 - variant.config().adam().beta1());
      }
      return moment;
    }
  }

  private double loss(Data.Weights weights, Variant variant) {
    try (BackendSae sae = weights.on(backend(), variant.shape());
        BackendTrainer trainer = TrainingSetup.trainer(sae, variant)) {
      return TrainingSetup.train(backend(), variant, trainer, 0, 1).get(0).loss();
    }
  }

  /** Otherwise a backend that ignores an option would pass the conformance cases. */
  @ParameterizedTest
  @MethodSource("variants")
  void everyOptionMovesTheResultFarBeyondTheTolerance(Variant variant) {
    if (variant.equals(TrainingSetup.STUDY)) {
      return;
    }
    Run study = TrainingSetup.referenceRun(TrainingSetup.STUDY);
    Run run = TrainingSetup.referenceRun(variant);
    StepStats plain = study.stats().get(TrainingSetup.STEPS - 1);
    StepStats changed = run.stats().get(TrainingSetup.STEPS - 1);
    double moved = Math.abs(plain.loss() - changed.loss()) / plain.loss() / LOSS_TOLERANCE;
    for (Tensor tensor : Tensor.COMMON) {
      double distance =
          TrainingSetup.distance(run.end().tensor(tensor), study.end().tensor(tensor));
      moved = Math.max(moved, distance / WEIGHT_TOLERANCE);
    }
    boolean reported =
        plain.gradientNorm() != changed.gradientNorm() || plain.dead() != changed.dead();
    assertTrue(
        moved > 5 || reported, variant + " moves the result by only " + moved + " tolerances");
  }

  /** Each variant of another activation against the one before it, which differs in an option. */
  @Test
  void everyOptionOfAnotherActivationMovesTheResultFarBeyondTheTolerance() {
    List<Variant> all = ActivationTrainingCases.variants();
    for (int i = 1; i < all.size(); i++) {
      Run before = TrainingSetup.referenceRun(all.get(i - 1));
      Run run = TrainingSetup.referenceRun(all.get(i));
      double moved = 0;
      for (Tensor tensor : Tensor.COMMON) {
        double distance =
            TrainingSetup.distance(run.end().tensor(tensor), before.end().tensor(tensor));
        moved = Math.max(moved, distance / WEIGHT_TOLERANCE);
      }
      boolean threshold =
          !Objects.equals(
              before.end().states().get(BackendTrainer.State.LEARNED_THRESHOLD),
              run.end().states().get(BackendTrainer.State.LEARNED_THRESHOLD));
      assertTrue(
          moved > 5 || threshold,
          all.get(i) + " moves the result by only " + moved + " tolerances");
    }
  }

  @Test
  void theSetupHasDeadLatentsAndAnAuxiliaryLoss() {
    for (StepStats stats : TrainingSetup.referenceRun(TrainingSetup.STUDY).stats().subList(3, 12)) {
      assertTrue(stats.dead() > 0 && stats.dead() < TrainingSetup.D_SAE, stats.toString());
      assertTrue(stats.aux() > 0.01 * stats.loss(), stats.toString());
    }
  }
}
