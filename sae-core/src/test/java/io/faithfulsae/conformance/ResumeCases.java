package io.faithfulsae.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import io.faithfulsae.conformance.TrainingSetup.Run;
import io.faithfulsae.conformance.TrainingSetup.Snapshot;
import io.faithfulsae.conformance.TrainingSetup.Variant;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.State;
import io.faithfulsae.spi.BackendTrainer.StepStats;
import java.nio.ByteBuffer;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Checkpoints: a state that is read and written to another trainer continues bit-identically. */
interface ResumeCases extends ConformanceCases {

  static List<Variant> variants() {
    return TrainingSetup.variants();
  }

  @ParameterizedTest
  @MethodSource("variants")
  default void aWrittenStateContinuesBitIdentically(Variant variant) {
    assertResumes(backend(), variant);
  }

  static void assertResumes(Backend backend, Variant variant) {
    Run whole = TrainingSetup.run(backend, variant);
    int half = TrainingSetup.STEPS / 2;
    Snapshot middle;
    try (BackendSae sae = TrainingSetup.sae(backend, variant);
        BackendTrainer trainer = TrainingSetup.trainer(sae, variant)) {
      TrainingSetup.train(backend, variant, trainer, 0, half);
      middle = Snapshot.of(sae, trainer, variant);
    }
    assertNotEquals(whole.end(), middle);
    try (BackendSae sae = backend.createSae(variant.shape());
        BackendTrainer trainer = TrainingSetup.trainer(sae, variant)) {
      middle.writeTo(sae, trainer);
      assertEquals(middle, Snapshot.of(sae, trainer, variant), "what was written is read");
      List<StepStats> rest =
          TrainingSetup.train(backend, variant, trainer, half, TrainingSetup.STEPS);
      assertEquals(whole.stats().subList(half, TrainingSetup.STEPS), rest);
      assertEquals(whole.end(), Snapshot.of(sae, trainer, variant));
    }
  }

  /** An evaluation in the middle of a run must not change its weights. */
  @Test
  default void encodingBetweenStepsChangesNothing() {
    Variant study = TrainingSetup.STUDY;
    try (BackendSae sae = TrainingSetup.weights(study).on(backend());
        BackendTrainer trainer = sae.trainer(TrainingSetup.K, study.config())) {
      for (int step = 0; step < TrainingSetup.STEPS; step++) {
        Data.encode(backend(), sae, Data.gaussian(step, 64 * TrainingSetup.D_IN), 64, 2);
        TrainingSetup.train(backend(), trainer, step, step + 1);
      }
      assertEquals(TrainingSetup.run(backend(), study).end(), Snapshot.of(sae, trainer));
    }
  }

  @Test
  default void statesAreReadAndWrittenInParts() {
    try (BackendSae sae = backend().createSae(3, 5, true);
        BackendTrainer trainer = sae.trainer(2, TrainingSetup.STUDY.config())) {
      ByteBuffer two = Data.directBytes(16).putLong(0, 17).putLong(8, 4_000_000_000L);
      trainer.write(State.IDLE_ROWS, 2, two);
      assertEquals(0, two.position(), "the position is not changed");
      ByteBuffer four = Data.directBytes(32);
      trainer.read(State.IDLE_ROWS, 1, four);
      assertEquals(Data.directBytes(32).putLong(8, 17).putLong(16, 4_000_000_000L), four);
      ByteBuffer moment = Data.directBytes(4).putFloat(0, 0.5f);
      trainer.write(State.V_W_DEC, 14, moment);
      ByteBuffer last = Data.directBytes(8);
      trainer.read(State.V_W_DEC, 13, last);
      assertEquals(Data.directBytes(8).putFloat(4, 0.5f), last);
    }
  }
}
