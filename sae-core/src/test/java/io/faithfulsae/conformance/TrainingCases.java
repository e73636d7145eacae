package io.faithfulsae.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.conformance.TrainingSetup.Run;
import io.faithfulsae.conformance.TrainingSetup.Snapshot;
import io.faithfulsae.conformance.TrainingSetup.Variant;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.State;
import io.faithfulsae.spi.BackendTrainer.StepStats;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.StepConfig;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The training step against the reference, for every option. */
interface TrainingCases extends ConformanceCases {
  /**
   * A loss is a mean of thousands of float32 terms, with an error near 1e-6. If a gradient is near
   * 0, Adam turns rounding into steps of up to lr, which accumulate; ignoring an option changes
   * losses far more (ReferenceBackendTest checks that).
   */
  double LOSS_TOLERANCE = 1e-4;

  /**
   * Relative to the norm of a tensor: Adam's steps of lr when rounding flips the sign of a
   * gradient.
   */
  double WEIGHT_TOLERANCE = 1e-3;

  static List<Variant> variants() {
    return TrainingSetup.variants();
  }

  @ParameterizedTest
  @MethodSource("variants")
  default void trainsAsTheReference(Variant variant) {
    Run expected = TrainingSetup.referenceRun(variant);
    Run got = TrainingSetup.run(backend(), variant);
    assertRun(expected, got);
  }

  static void assertRun(Run expected, Run got) {
    for (int step = 0; step < expected.stats().size(); step++) {
      assertStats(expected.stats().get(step), got.stats().get(step));
    }
    for (Tensor tensor : expected.end().tensors().keySet()) {
      double distance =
          TrainingSetup.distance(got.end().tensor(tensor), expected.end().tensor(tensor));
      assertTrue(distance <= WEIGHT_TOLERANCE, tensor + " is off by " + distance);
    }
    for (State state : List.of(State.IDLE_BATCHES, State.IDLE_ROWS, State.STEPS)) {
      assertEquals(expected.end().states().get(state), got.end().states().get(state), state.name());
    }
  }

  static void assertStats(StepStats expected, StepStats got) {
    String step = "step " + expected.steps() + ": expected " + expected + ", got " + got;
    assertEquals(expected.steps(), got.steps(), step);
    assertEquals(expected.dead(), got.dead(), step);
    assertEquals(expected.l0(), got.l0(), 1e-9, step); // a ratio of counts
    assertEquals(expected.loss(), got.loss(), LOSS_TOLERANCE * expected.loss(), step);
    assertEquals(
        expected.reconstruction(),
        got.reconstruction(),
        LOSS_TOLERANCE * expected.reconstruction(),
        step);
    assertEquals(expected.aux(), got.aux(), LOSS_TOLERANCE * expected.aux(), step);
    assertEquals(
        expected.sparsity(), got.sparsity(), LOSS_TOLERANCE * Math.abs(expected.loss()), step);
    assertEquals(expected.fvu(), got.fvu(), LOSS_TOLERANCE * expected.fvu(), step);
    assertEquals(
        expected.gradientNorm(),
        got.gradientNorm(),
        LOSS_TOLERANCE * expected.gradientNorm(),
        step);
  }

  @ParameterizedTest
  @MethodSource("variants")
  default void sameInputGivesTheSameBits(Variant variant) {
    assertEquals(TrainingSetup.run(backend(), variant), TrainingSetup.run(backend(), variant));
  }

  @Test
  default void whatIsNotTrainedStaysAsItIs() {
    for (Variant variant : TrainingSetup.variants()) {
      Snapshot end = TrainingSetup.run(backend(), variant).end();
      if (variant.config().weights().freezeDecoder()) {
        assertArrayEquals(
            TrainingSetup.weights(variant).wDec(), end.tensor(Tensor.W_DEC), variant.name());
      }
      if (!variant.config().weights().trainEncoderBias()) {
        assertArrayEquals(
            TrainingSetup.weights(variant).bEnc(), end.tensor(Tensor.B_ENC), variant.name());
      }
    }
  }

  @Test
  default void aBatchOfOneRowTrains() {
    Variant study = TrainingSetup.STUDY;
    float[] row = Data.gaussian(3, TrainingSetup.D_IN);
    try (ReferenceBackend reference = new ReferenceBackend();
        BackendTrainer expected =
            TrainingSetup.weights(study).on(reference).trainer(TrainingSetup.K, study.config());
        BackendSae sae = TrainingSetup.weights(study).on(backend());
        BackendTrainer trainer = sae.trainer(TrainingSetup.K, study.config());
        DeviceBuffer theirs = Data.upload(reference, row);
        DeviceBuffer ours = Data.upload(backend(), row)) {
      for (int step = 0; step < 5; step++) {
        expected.step(theirs, 1, 1e-3);
        trainer.step(ours, 1, 1e-3);
        assertStats(expected.stats(), trainer.stats());
        assertEquals(0, trainer.stats().fvu(), "one row has no variance");
      }
    }
  }

  /** Shapes that are not multiples of any vector or tile size, k = dSae and k = 1. */
  @Test
  default void oddShapesTrainAsTheReference() {
    int[][] shapes = {
      {1, 1, 1, 2}, {3, 2, 2, 5}, {37, 131, 1, 61}, {65, 67, 67, 19}, {129, 1031, 24, 70}
    };
    for (int[] shape : shapes) {
      int dIn = shape[0];
      int dSae = shape[1];
      int k = shape[2];
      int rows = shape[3];
      Data.Weights weights = Data.Weights.gaussian(dSae, dIn, dSae, true);
      try (ReferenceBackend reference = new ReferenceBackend();
          BackendTrainer expected = weights.on(reference).trainer(k, TrainingSetup.STUDY.config());
          BackendSae sae = weights.on(backend());
          BackendTrainer trainer = sae.trainer(k, TrainingSetup.STUDY.config())) {
        for (int step = 0; step < 4; step++) {
          float[] x = Data.gaussian(100L * step + rows, rows * dIn);
          try (DeviceBuffer theirs = Data.upload(reference, x);
              DeviceBuffer ours = Data.upload(backend(), x)) {
            expected.step(theirs, rows, 1e-3);
            trainer.step(ours, rows, 1e-3);
            assertStats(expected.stats(), trainer.stats());
          }
        }
      }
    }
  }

  @Test
  default void anUnusedDecoderRowOfZerosStaysFinite() {
    Data.Weights weights = TrainingSetup.weights(TrainingSetup.STUDY);
    Arrays.fill(weights.wDec(), 0, 3 * TrainingSetup.D_IN, 0f);
    try (BackendSae sae = weights.on(backend());
        BackendTrainer trainer = sae.trainer(TrainingSetup.K, TrainingSetup.STUDY.config())) {
      TrainingSetup.train(backend(), trainer, 0, 4);
      for (Tensor tensor : Tensor.COMMON) {
        for (float value : Data.read(sae, tensor)) {
          assertTrue(Float.isFinite(value), tensor.name());
        }
      }
    }
  }

  @Test
  default void aRowThatIsNotFiniteIsNamedAndChangesNothing() {
    Variant study = TrainingSetup.STUDY;
    try (BackendSae sae = TrainingSetup.weights(study).on(backend());
        BackendTrainer trainer = sae.trainer(TrainingSetup.K, study.config())) {
      TrainingSetup.train(backend(), trainer, 0, 3);
      Snapshot before = Snapshot.of(sae, trainer);
      float[] x = TrainingSetup.batch(3);
      x[5 * TrainingSetup.D_IN + 2] = Float.NaN;
      try (DeviceBuffer bad = Data.upload(backend(), x)) {
        IllegalArgumentException e =
            assertThrows(
                IllegalArgumentException.class,
                () -> {
                  trainer.step(bad, TrainingSetup.rows(3), 1e-3);
                  trainer.stats(); // a device may throw only here
                });
        assertTrue(
            Pattern.compile("\\brow 5\\b").matcher(String.valueOf(e.getMessage())).find(),
            e.getMessage());
      }
      assertEquals(before, Snapshot.of(sae, trainer));
      TrainingSetup.train(backend(), trainer, 3, TrainingSetup.STEPS);
      assertEquals(
          TrainingSetup.run(backend(), study).end(),
          Snapshot.of(sae, trainer),
          "goes on as if never given");
    }
  }

  @Test
  default void badStepsAreRejected() {
    try (BackendSae sae = backend().createSae(4, 6, true);
        DeviceBuffer x = backend().allocate(2 * 4 * 4)) {
      StepConfig config = StepConfig.builder().build();
      IllegalArgumentException k =
          assertThrows(IllegalArgumentException.class, () -> sae.trainer(7, config).close());
      assertTrue(String.valueOf(k.getMessage()).contains("d_sae = 6"), k.getMessage());
      assertThrows(IllegalArgumentException.class, () -> sae.trainer(0, config).close());
      try (BackendTrainer trainer = sae.trainer(2, config)) {
        assertThrows(IllegalArgumentException.class, () -> trainer.step(x, 3, 1e-3));
        assertThrows(IllegalArgumentException.class, () -> trainer.step(x, 0, 1e-3));
        assertThrows(IllegalArgumentException.class, () -> trainer.step(x, 2, Double.NaN));
        assertThrows(IllegalArgumentException.class, () -> trainer.step(x, 2, -1));
        assertEquals(0, trainer.stats().steps());
      }
    }
  }
}
