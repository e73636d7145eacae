package io.faithfulsae.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import io.faithfulsae.conformance.TrainingSetup.Run;
import io.faithfulsae.conformance.TrainingSetup.Snapshot;
import io.faithfulsae.conformance.TrainingSetup.Variant;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.BackendTrainer.State;
import io.faithfulsae.spi.BackendTrainer.StepStats;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.Selection.Rule;
import io.faithfulsae.spi.StepConfig;
import io.faithfulsae.spi.StepConfig.DecoderNorm;
import io.faithfulsae.spi.StepConfig.Loss;
import io.faithfulsae.spi.StepConfig.Penalty;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Steps in parts, on one trainer or several, against the reference. */
interface PartsCases extends ConformanceCases {

  /** Opens another backend of the same kind; the caller closes it. */
  Backend openAnother();

  static List<Variant> variants() {
    return TrainingSetup.variants();
  }

  /** How a batch is split: 5 rows, 1 row, and the rest. */
  static int[] cuts(int rows) {
    return new int[] {0, 5, 6, rows};
  }

  /** An SAE on a backend, with a trainer. */
  record Member(Backend backend, BackendSae sae, BackendTrainer trainer) implements AutoCloseable {
    static Member of(Backend backend, Variant variant, Gradients gradients) {
      BackendSae sae = TrainingSetup.sae(backend, variant);
      try {
        return new Member(
            backend, sae, sae.trainer(variant.selection(), variant.config(), gradients));
      } catch (BackendUnavailableException e) {
        sae.close();
        throw e;
      }
    }

    @Override
    public void close() {
      trainer.close();
      sae.close();
    }
  }

  /**
   * Trains in parts: the first member computes the first part, the last member the others; with two
   * members, the first one adds up the sums.
   */
  private static Run run(List<Member> members, Variant variant) {
    Member main = members.get(0);
    Member last = members.get(members.size() - 1);
    boolean together = members.size() > 1;
    List<StepStats> stats = new ArrayList<>();
    for (int step = 0; step < TrainingSetup.STEPS; step++) {
      int[] cuts = cuts(TrainingSetup.rows(step));
      float[] batch = TrainingSetup.batch(step);
      try (DeviceBuffer here = Data.upload(main.backend(), batch);
          DeviceBuffer there = Data.upload(last.backend(), batch);
          DeviceBuffer y = TrainingSetup.target(main.backend(), variant, step);
          DeviceBuffer yThere = TrainingSetup.target(last.backend(), variant, step)) {
        if (together) {
          last.trainer().copy(main.trainer());
        }
        main.trainer().accumulate(here, y, 0, cuts[1]);
        for (int part = 1; part < cuts.length - 1; part++) {
          last.trainer().accumulate(there, yThere, cuts[part], cuts[part + 1] - cuts[part]);
        }
        if (together) {
          main.trainer().add(last.trainer());
        }
        main.trainer().apply(TrainingSetup.lr(step));
        stats.add(main.trainer().stats());
      }
    }
    return new Run(stats, Snapshot.of(main.sae(), main.trainer(), variant));
  }

  static Run onOne(Backend backend, Variant variant) {
    try (Member one = Member.of(backend, variant, Gradients.KEPT)) {
      return run(List.of(one), variant);
    }
  }

  static Run onTwo(Backend backend, Backend another, Variant variant) {
    try (Member main = Member.of(backend, variant, Gradients.KEPT);
        Member replica = Member.of(another, variant, Gradients.ONLY)) {
      return run(List.of(main, replica), variant);
    }
  }

  @ParameterizedTest
  @MethodSource("variants")
  default void partsTrainAsTheReference(Variant variant) {
    try (ReferenceBackend reference = new ReferenceBackend()) {
      Run got = onOne(backend(), variant);
      TrainingCases.assertRun(onOne(reference, variant), got);
      assertEquals(got, onOne(backend(), variant), "the same bits");
    }
  }

  @ParameterizedTest
  @MethodSource("variants")
  default void partsOfTwoBackendsTrainAsTheReference(Variant variant) {
    try (ReferenceBackend reference = new ReferenceBackend();
        ReferenceBackend second = new ReferenceBackend();
        Backend another = openAnother()) {
      Run got = onTwo(backend(), another, variant);
      TrainingCases.assertRun(onTwo(reference, second, variant), got);
      assertEquals(got, onTwo(backend(), another, variant), "the same bits");
    }
  }

  /** Variants whose loss is a mean over rows, so that a batch may be split anywhere. */
  static List<Variant> means() {
    StepConfig mean =
        TrainingSetup.STUDY.config().toBuilder().auxCoefficient(0).deadAfterRows(50).build();
    return List.of(
        new Variant("mean", true, mean),
        new Variant("b_dec not subtracted", false, mean),
        new Variant("sum", true, mean.toBuilder().loss(Loss.SUM_MEAN).build()),
        new Variant("clipped", true, mean.toBuilder().clipNorm(0.01).eps(1e-3).build()),
        new Variant(
            "norm after, b_enc",
            true,
            mean.toBuilder()
                .decoderNorm(DecoderNorm.AFTER_STEP)
                .trainEncoderBias(true)
                .clipNorm(0)
                .build()));
  }

  /** Sums in another order: the tolerance is that between two backends. */
  @ParameterizedTest
  @MethodSource("means")
  default void partsOfAMeanAreTheWholeBatch(Variant variant) {
    Run whole = TrainingSetup.run(backend(), variant);
    Run parts = onOne(backend(), variant);
    for (int step = 0; step < TrainingSetup.STEPS; step++) {
      StepStats a = whole.stats().get(step);
      StepStats b = parts.stats().get(step);
      String both = "expected " + a + ", got " + b;
      assertEquals(a.steps(), b.steps(), both);
      assertEquals(a.dead(), b.dead(), both);
      assertEquals(a.l0(), b.l0(), 1e-9, both);
      assertEquals(a.loss(), b.loss(), TrainingCases.LOSS_TOLERANCE * a.loss(), both);
      assertEquals(
          a.gradientNorm(),
          b.gradientNorm(),
          TrainingCases.LOSS_TOLERANCE * a.gradientNorm(),
          both);
      assertTrue(a.fvu() < b.fvu(), "over the variance about each part's mean: " + both);
    }
    for (Tensor tensor : Tensor.COMMON) {
      double distance =
          TrainingSetup.distance(parts.end().tensor(tensor), whole.end().tensor(tensor));
      assertTrue(distance <= TrainingCases.WEIGHT_TOLERANCE, tensor + " is off by " + distance);
    }
    for (State state : List.of(State.IDLE_BATCHES, State.IDLE_ROWS, State.STEPS)) {
      assertEquals(whole.end().states().get(state), parts.end().states().get(state), state.name());
    }
  }

  /** A part that does not depend on the previous ones may be computed by another trainer. */
  @Test
  default void aPartThatIsAddedGivesTheBitsOfOneThatIsAccumulated() {
    for (Variant variant : means()) {
      float[] batch = TrainingSetup.batch(0);
      try (Backend another = openAnother();
          Member alone = Member.of(backend(), variant, Gradients.KEPT);
          Member main = Member.of(backend(), variant, Gradients.KEPT);
          Member replica = Member.of(another, variant, Gradients.ONLY);
          DeviceBuffer here = Data.upload(backend(), batch);
          DeviceBuffer there = Data.upload(another, batch)) {
        alone.trainer().accumulate(here, 0, 20);
        alone.trainer().accumulate(here, 20, 12);
        alone.trainer().apply(1e-3);
        main.trainer().accumulate(here, 0, 20);
        replica.trainer().accumulate(there, 20, 12);
        main.trainer().add(replica.trainer());
        main.trainer().apply(1e-3);
        assertEquals(
            Snapshot.of(alone.sae(), alone.trainer()), Snapshot.of(main.sae(), main.trainer()));
      }
    }
  }

  /** Variants whose steps depend on how many there were before. */
  static List<Variant> byStep() {
    StepConfig mean = TrainingSetup.STUDY.config().toBuilder().auxCoefficient(0).build();
    return List.of(
        new Variant("k decreasing", true, mean.toBuilder().initialK(20).kDecaySteps(7).build()),
        new Variant(
            "L1 warming up",
            true,
            new Selection(Rule.THRESHOLD, 0),
            false,
            mean.toBuilder()
                .sparsityPenalty(Penalty.L1)
                .sparsityCoefficient(1)
                .sparsityWarmupSteps(7)
                .build()));
  }

  /** A replica has taken no step itself. */
  @ParameterizedTest
  @MethodSource("byStep")
  default void aReplicaIsAtTheStepOfTheTrainerThatItCopies(Variant variant) {
    try (Backend another = openAnother()) {
      TrainingCases.assertRun(onOne(backend(), variant), onTwo(backend(), another, variant));
    } catch (BackendUnavailableException e) {
      abort(String.valueOf(e.getMessage()));
    }
  }

  /** Also adds to an empty sum, and alternates whole steps with steps in parts. */
  @Test
  default void aReplicaComputesWholeBatchesForAnother() {
    Variant study = TrainingSetup.STUDY;
    int rows = TrainingSetup.ROWS;
    try (Backend another = openAnother();
        Member alone = Member.of(backend(), study, Gradients.KEPT);
        Member main = Member.of(backend(), study, Gradients.KEPT);
        Member replica = Member.of(another, study, Gradients.ONLY)) {
      for (int step = 0; step < 3; step++) {
        float[] batch = TrainingSetup.batch(step);
        try (DeviceBuffer here = Data.upload(backend(), batch);
            DeviceBuffer there = Data.upload(another, batch)) {
          alone.trainer().step(here, rows, 1e-3);
          main.trainer().step(here, rows, 1e-3);
          assertEquals(alone.trainer().stats(), main.trainer().stats());
          alone.trainer().accumulate(here, 0, rows);
          alone.trainer().apply(1e-3);
          replica.trainer().copy(main.trainer());
          replica.trainer().accumulate(there, 0, rows);
          main.trainer().add(replica.trainer());
          main.trainer().apply(1e-3);
          assertEquals(alone.trainer().stats(), main.trainer().stats());
        }
      }
      assertEquals(
          Snapshot.of(alone.sae(), alone.trainer()), Snapshot.of(main.sae(), main.trainer()));
    }
  }

  @Test
  default void aPartThatIsNotFiniteDropsTheStep() {
    Variant study = TrainingSetup.STUDY;
    try (Member one = Member.of(backend(), study, Gradients.KEPT)) {
      BackendTrainer trainer = one.trainer();
      TrainingSetup.train(backend(), trainer, 0, 3);
      Snapshot before = Snapshot.of(one.sae(), trainer);
      float[] x = TrainingSetup.batch(3);
      x[(10 + 5) * TrainingSetup.D_IN + 2] = Float.NaN;
      try (DeviceBuffer bad = Data.upload(backend(), x)) {
        assertRejected(
            Pattern.compile("\\brow 5\\b"),
            () -> {
              trainer.accumulate(bad, 0, 10);
              trainer.accumulate(bad, 10, 8); // the row's index is within the part
              trainer.accumulate(bad, 18, 5);
              trainer.apply(1e-3);
              trainer.stats(); // a device may throw only here
            });
        assertRejected(Pattern.compile("accumulated"), () -> trainer.apply(1e-3));
        assertEquals(before, Snapshot.of(one.sae(), trainer));
        trainer.accumulate(bad, 0, 10); // a device whose statistics were not read
        assertRejected(
            Pattern.compile("\\brow 5\\b"),
            () -> {
              trainer.accumulate(bad, 10, 8);
              trainer.stats();
            });
        assertRejected(Pattern.compile("accumulated"), () -> trainer.apply(1e-3));
      }
      TrainingSetup.train(backend(), trainer, 3, TrainingSetup.STEPS);
      assertEquals(
          TrainingSetup.run(backend(), study).end(),
          Snapshot.of(one.sae(), trainer),
          "goes on as if never given");
    }
  }

  @Test
  default void whatAReplicaCannotUseIsRejectedWhereTheUpdateIs() {
    Variant study = TrainingSetup.STUDY;
    float[] x = TrainingSetup.batch(0);
    x[7 * TrainingSetup.D_IN] = Float.POSITIVE_INFINITY;
    try (Backend another = openAnother();
        Member main = Member.of(backend(), study, Gradients.KEPT);
        Member replica = Member.of(another, study, Gradients.ONLY);
        DeviceBuffer here = Data.upload(backend(), x);
        DeviceBuffer there = Data.upload(another, x)) {
      Snapshot before = Snapshot.of(main.sae(), main.trainer());
      assertRejected(
          Pattern.compile("\\brow 7\\b"),
          () -> {
            main.trainer().accumulate(here, 0, 7);
            replica.trainer().accumulate(there, 0, 9);
            main.trainer().add(replica.trainer());
            main.trainer().apply(1e-3);
            main.trainer().stats();
          });
      assertEquals(before, Snapshot.of(main.sae(), main.trainer()));
    }
  }

  @Test
  default void misuseIsRejected() {
    Variant study = TrainingSetup.STUDY;
    Variant other = new Variant("other lr's", true, study.config().toBuilder().clipNorm(7).build());
    Pattern accumulated = Pattern.compile("expected .*accumulated");
    try (Member kept = Member.of(backend(), study, Gradients.KEPT);
        Member none = Member.of(backend(), study, Gradients.NONE);
        Member only = Member.of(backend(), study, Gradients.ONLY);
        Member differs = Member.of(backend(), other, Gradients.KEPT);
        DeviceBuffer x = Data.upload(backend(), TrainingSetup.batch(0))) {
      BackendTrainer trainer = kept.trainer();
      assertRejected(accumulated, () -> trainer.apply(1e-3));
      assertRejected(accumulated, () -> trainer.add(only.trainer()));
      trainer.accumulate(x, 0, 4);
      assertRejected(accumulated, () -> trainer.step(x, 4, 1e-3));
      assertRejected(accumulated, () -> trainer.copy(none.trainer()));
      assertRejected(Pattern.compile("expected"), () -> trainer.apply(Double.NaN));
      assertRejected(Pattern.compile("expected"), () -> trainer.accumulate(x, -1, 4));
      assertRejected(Pattern.compile("expected"), () -> trainer.accumulate(x, 0, 0));
      assertRejected(
          Pattern.compile("expected x to hold"),
          () -> trainer.accumulate(x, TrainingSetup.ROWS - 3, 4));
      Pattern gradients = Pattern.compile("expected .*gradients");
      assertRejected(gradients, () -> none.trainer().accumulate(x, 0, 4));
      assertRejected(gradients, () -> none.trainer().apply(1e-3));
      assertRejected(gradients, () -> trainer.add(none.trainer()));
      Pattern moments = Pattern.compile("expected .*moments");
      assertRejected(moments, () -> only.trainer().step(x, 4, 1e-3));
      only.trainer().accumulate(x, 0, 4);
      assertRejected(moments, () -> only.trainer().apply(1e-3));
      assertRejected(moments, () -> only.trainer().read(State.M_B_DEC, 0, Data.directBytes(4)));
      assertRejected(Pattern.compile("expected .*options"), () -> trainer.add(differs.trainer()));
      assertRejected(Pattern.compile("expected .*two|another"), () -> trainer.add(trainer));
      trainer.apply(1e-3); // none of this discarded the accumulated gradients
      assertEquals(1, trainer.stats().steps());
    }
  }

  @Test
  default void gradientsAreCountedAndMomentsAreNot() {
    try (BackendSae sae = TrainingSetup.weights(TrainingSetup.STUDY).on(backend())) {
      long parameters = 4L * (2L * TrainingSetup.D_IN * TrainingSetup.D_SAE + TrainingSetup.D_SAE);
      long none = trainerBytes(sae, Gradients.NONE);
      long kept = trainerBytes(sae, Gradients.KEPT);
      long only = trainerBytes(sae, Gradients.ONLY);
      assertTrue(kept >= none + parameters, "kept " + kept + ", none " + none);
      assertTrue(only <= kept - 2 * parameters, "only " + only + ", kept " + kept);
    }
  }

  private long trainerBytes(BackendSae sae, Gradients gradients) {
    long before = backend().liveBytes();
    try (BackendTrainer trainer =
        sae.trainer(TrainingSetup.K, TrainingSetup.STUDY.config(), gradients)) {
      assertEquals(0, trainer.stats().steps());
      return backend().liveBytes() - before;
    }
  }

  private static void assertRejected(Pattern message, Executable action) {
    IllegalArgumentException e = assertThrows(IllegalArgumentException.class, action);
    assertTrue(message.matcher(String.valueOf(e.getMessage())).find(), e.getMessage());
  }
}
