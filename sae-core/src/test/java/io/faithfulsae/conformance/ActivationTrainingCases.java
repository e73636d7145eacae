package io.faithfulsae.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import io.faithfulsae.conformance.TrainingSetup.Run;
import io.faithfulsae.conformance.TrainingSetup.Variant;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.BackendTrainer.State;
import io.faithfulsae.spi.BackendTrainer.StepStats;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.Selection.Rule;
import io.faithfulsae.spi.StepConfig;
import io.faithfulsae.spi.StepConfig.AuxNorm;
import io.faithfulsae.spi.StepConfig.DecoderNorm;
import io.faithfulsae.spi.StepConfig.Loss;
import io.faithfulsae.spi.StepConfig.Optimizer;
import io.faithfulsae.spi.StepConfig.Penalty;
import io.faithfulsae.spi.StepConfig.Prefix;
import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Training of activations other than TopK, against the reference. A backend that cannot train one
 * says so when it is asked, and its cases are skipped. Over 400 lines: a list of variants.
 */
public interface ActivationTrainingCases extends ConformanceCases {
  Selection TOP = Selection.topK(TrainingSetup.K);
  Selection BATCH = new Selection(Rule.BATCH_TOP_K, TrainingSetup.K);
  Selection ABOVE = new Selection(Rule.THRESHOLD, 0);

  static List<Variant> variants() {
    List<Variant> all = new ArrayList<>();
    batch(all, "by batch", b -> b);
    batch(
        all,
        "by batch, threshold from the first",
        b -> b.thresholdRate(0.3).thresholdAfterSteps(3).thresholdFromFirst(true));
    batch(all, "by batch, no threshold", b -> b.thresholdRate(0));
    batch(
        all,
        "by batch, as SAELens",
        b ->
            b.loss(Loss.SUM_MEAN)
                .auxCoefficient(1)
                .auxNorm(AuxNorm.SUM_MEAN)
                .auxDetach(true)
                .auxScaleByDead(true)
                .decoderNorm(DecoderNorm.NONE)
                .projectGradient(false)
                .trainEncoderBias(true)
                .clipNorm(1));
    batch(
        all,
        "by batch, as dictionary_learning",
        b ->
            b.loss(Loss.SUM_MEAN)
                .auxNorm(AuxNorm.RESIDUAL_VARIANCE)
                .auxDetach(true)
                .decoderNorm(DecoderNorm.AFTER_STEP)
                .trainEncoderBias(true)
                .clipNorm(1)
                .clipProjected(true));
    List<Prefix> thirds =
        List.of(new Prefix(16, 0.5), new Prefix(40, 1), new Prefix(TrainingSetup.D_SAE, 0.25));
    batch(all, "Matryoshka", b -> b.prefixes(thirds));
    batch(
        all,
        "Matryoshka with residuals detached, b_enc trained",
        b ->
            b.prefixes(thirds)
                .auxDetach(true)
                .auxNorm(AuxNorm.RESIDUAL_VARIANCE)
                .trainEncoderBias(true));
    batch(
        all,
        "Matryoshka, dead latents by prefix",
        b -> b.prefixes(thirds).auxDetach(true).auxByPrefix(true).auxK(6).auxScaleByDead(true));
    batch(
        all,
        "Matryoshka, dead latents by prefix, residual variance, signed, clipped",
        b ->
            b.prefixes(thirds)
                .auxDetach(true)
                .auxByPrefix(true)
                .auxNorm(AuxNorm.RESIDUAL_VARIANCE)
                .auxSigned(true)
                .auxK(6)
                .eps(1e-3)
                .clipNorm(0.05));
    for (Selection selection :
        List.of(TOP, BATCH, new Selection(Rule.ABS_TOP_K, TrainingSetup.K))) {
      ranked(all, selection + ", norms free", selection, b -> b);
      ranked(all, selection + " by norm", selection, b -> b.rankByNorm(true));
      ranked(
          all,
          selection + " by norm, few dead latents",
          selection,
          b -> b.rankByNorm(true).auxK(6).auxCoefficient(1));
      ranked(
          all,
          selection + " by norm, few dead latents, signed, detached",
          selection,
          b -> b.rankByNorm(true).auxK(6).auxCoefficient(1).auxSigned(true).auxDetach(true));
    }
    ranked(
        all,
        "Matryoshka by norm",
        BATCH,
        b -> b.rankByNorm(true).prefixes(thirds).auxDetach(true).auxByPrefix(true));
    relu(all, "L1", b -> b.sparsityPenalty(Penalty.L1).sparsityCoefficient(1));
    relu(
        all,
        "L1 without norms",
        b -> b.sparsityPenalty(Penalty.L1).sparsityCoefficient(1).weightByNorm(false));
    relu(
        all,
        "L1 warming up, as SAELens",
        b ->
            b.sparsityPenalty(Penalty.L1)
                .sparsityWarmupSteps(5)
                .auxCoefficient(0)
                .decoderNorm(DecoderNorm.NONE)
                .projectGradient(false)
                .clipNorm(1));
    relu(all, "tanh", b -> b.sparsityPenalty(Penalty.TANH).tanhScale(2));
    relu(all, "L1, decoder frozen", b -> b.sparsityPenalty(Penalty.L1).freezeDecoder(true));
    for (Penalty penalty : Penalty.values()) {
      for (boolean toInput : new boolean[] {false, true}) {
        jump(
            all,
            "JumpReLU, " + penalty + (toInput ? " with the estimate to the input" : ""),
            b -> b.sparsityPenalty(penalty).steToInput(toInput));
      }
    }
    jump(
        all,
        "JumpReLU, clipped",
        b -> b.sparsityPenalty(Penalty.L0).clipNorm(0.5).eps(1e-3).auxCoefficient(0));
    jump(
        all,
        "JumpReLU, another bandwidth and target",
        b -> b.sparsityPenalty(Penalty.L0_OF_ROWS).bandwidth(0.4).targetL0(3));
    gated(all, "gated", b -> b.sparsityPenalty(Penalty.L1));
    gated(all, "gated without sparsity", b -> b);
    gated(
        all,
        "gated, as SAELens",
        b ->
            b.sparsityPenalty(Penalty.L1)
                .sparsityWarmupSteps(5)
                .decoderNorm(DecoderNorm.NONE)
                .projectGradient(false)
                .clipNorm(1));
    gated(
        all,
        "gated, as dictionary_learning",
        b ->
            b.sparsityPenalty(Penalty.L1)
                .weightByNorm(false)
                .gateDetach(true)
                .decoderNorm(DecoderNorm.AFTER_STEP)
                .clipNorm(0));
    all.add(
        new Variant("by batch, k decreasing", true, BATCH, true, annealed(b -> b.initialK(20))));
    all.add(new Variant("k decreasing", true, TOP, false, annealed(b -> b.initialK(90))));
    all.add(new Variant("k increasing", true, TOP, false, annealed(b -> b.initialK(1))));
    all.add(new Variant("multi-TopK", true, TOP, false, annealed(b -> b.multiTopK(0.125))));
    all.add(
        new Variant(
            "multi-TopK, clipped",
            false,
            TOP,
            false,
            annealed(
                b ->
                    b.multiTopK(1)
                        .initialK(40)
                        .loss(Loss.FVU)
                        .clipNorm(0.05)
                        .eps(1e-3)
                        .trainEncoderBias(true))));
    transcoder(all, "transcoder with a skip, multi-TopK", TOP, b -> b.multiTopK(0.25));
    for (Optimizer optimizer : List.of(Optimizer.SIGNUM, Optimizer.MUON)) {
      optimized(all, optimizer.name(), TOP, optimizer, b -> b);
      optimized(
          all,
          optimizer + ", norm after, clipped, b_enc",
          TOP,
          optimizer,
          b ->
              b.decoderNorm(DecoderNorm.AFTER_STEP)
                  .clipNorm(0.05)
                  .trainEncoderBias(true)
                  .eps(1e-3));
      optimized(all, optimizer + ", decoder frozen", TOP, optimizer, b -> b.freezeDecoder(true));
      transcoder(
          all,
          "transcoder with a skip, " + optimizer,
          TOP,
          b -> b.optimizer(optimizer).decoderNorm(DecoderNorm.NONE).projectGradient(false));
      all.add(
          new Variant(
              "JumpReLU, " + optimizer,
              true,
              ABOVE,
              true,
              sparse(b -> b.sparsityPenalty(Penalty.L0).optimizer(optimizer))));
    }
    Selection groups = new Selection(Rule.GROUP_MAX, TrainingSetup.K);
    all.add(new Variant("groups", true, groups, false, TrainingSetup.STUDY.config()));
    optimized(
        all,
        "groups, norm after, clipped",
        groups,
        Optimizer.ADAM,
        b -> b.decoderNorm(DecoderNorm.AFTER_STEP).clipNorm(0.05).trainEncoderBias(true).eps(1e-3));
    transcoder(all, "transcoder of groups with a skip", groups, b -> b.loss(Loss.FVU));
    transcoder(all, "transcoder", TOP, b -> b);
    transcoder(all, "transcoder with a skip", TOP, b -> b.loss(Loss.FVU));
    transcoder(
        all,
        "transcoder with a skip, clipped",
        TOP,
        b -> b.clipNorm(0.05).eps(1e-3).decoderNorm(DecoderNorm.AFTER_STEP));
    transcoder(
        all,
        "transcoder with a skip, residuals detached",
        TOP,
        b -> b.auxDetach(true).auxNorm(AuxNorm.RESIDUAL_VARIANCE));
    transcoder(
        all,
        "transcoder with a skip, Matryoshka",
        BATCH,
        b -> b.prefixes(thirds).projectGradient(false));
    transcoder(
        all,
        "transcoder, L1 with norms",
        ABOVE,
        b -> b.sparsityPenalty(Penalty.L1).sparsityCoefficient(0.05));
    all.add(new Variant("SAE with a skip", true, TOP, false, TrainingSetup.STUDY.config()));
    return all;
  }

  /** With decoder rows of norms that change. */
  private static void ranked(
      List<Variant> all,
      String name,
      Selection selection,
      UnaryOperator<StepConfig.Builder> change) {
    StepConfig.Builder base =
        TrainingSetup.STUDY.config().toBuilder()
            .decoderNorm(DecoderNorm.NONE)
            .projectGradient(false)
            .trainEncoderBias(true);
    all.add(new Variant(name, true, selection, false, change.apply(base).build()));
  }

  private static void optimized(
      List<Variant> all,
      String name,
      Selection selection,
      Optimizer optimizer,
      UnaryOperator<StepConfig.Builder> change) {
    StepConfig.Builder base = TrainingSetup.STUDY.config().toBuilder().optimizer(optimizer);
    all.add(new Variant(name, true, selection, false, change.apply(base).build()));
  }

  private static StepConfig annealed(UnaryOperator<StepConfig.Builder> change) {
    return change
        .apply(TrainingSetup.STUDY.config().toBuilder().initialK(8).kDecaySteps(7))
        .build();
  }

  private static void transcoder(
      List<Variant> all,
      String name,
      Selection selection,
      UnaryOperator<StepConfig.Builder> change) {
    StepConfig.Builder base = TrainingSetup.STUDY.config().toBuilder().trainEncoderBias(true);
    all.add(new Variant(name, false, selection, false, change.apply(base).build()));
  }

  private static void gated(
      List<Variant> all, String name, UnaryOperator<StepConfig.Builder> change) {
    StepConfig config = sparse(b -> change.apply(b.auxCoefficient(0)));
    all.add(new Variant(name, all.size() % 2 == 0, ABOVE, false, config));
  }

  private static void relu(
      List<Variant> all, String name, UnaryOperator<StepConfig.Builder> change) {
    all.add(new Variant("ReLU, " + name, true, ABOVE, false, sparse(change)));
  }

  private static void jump(
      List<Variant> all, String name, UnaryOperator<StepConfig.Builder> change) {
    all.add(new Variant(name, all.size() % 2 == 0, ABOVE, true, sparse(change)));
  }

  private static StepConfig sparse(UnaryOperator<StepConfig.Builder> change) {
    StepConfig.Builder base =
        TrainingSetup.STUDY.config().toBuilder()
            .loss(Loss.SUM_MEAN)
            .auxNorm(AuxNorm.SUM_MEAN)
            .trainEncoderBias(true)
            .sparsityCoefficient(0.05)
            .bandwidth(0.1)
            .targetL0(8);
    return change.apply(base).build();
  }

  private static void batch(
      List<Variant> all, String name, UnaryOperator<StepConfig.Builder> change) {
    StepConfig config = change.apply(TrainingSetup.STUDY.config().toBuilder()).build();
    all.add(new Variant(name, true, BATCH, true, config));
  }

  /** A rejection names what was asked for, which backend lacks it, and one that has it. */
  Pattern REJECTION = Pattern.compile("expected .+ on the .+ backend, got .+; train it on the cpu");

  /** Skips the case where the backend cannot train this. */
  private void ask(Variant variant) {
    try (BackendSae sae = TrainingSetup.sae(backend(), variant)) {
      TrainingSetup.trainer(sae, variant).close();
    } catch (BackendUnavailableException e) {
      String said = String.valueOf(e.getMessage());
      assertTrue(REJECTION.matcher(said).find(), said);
      abort(said);
    }
  }

  @ParameterizedTest
  @MethodSource("io.faithfulsae.conformance.ActivationTrainingCases#variants")
  default void otherActivationsTrainAsTheReference(Variant variant) {
    ask(variant);
    Run expected = TrainingSetup.referenceRun(variant);
    Run got = TrainingSetup.run(backend(), variant);
    TrainingCases.assertRun(expected, got);
    assertEquals(got, TrainingSetup.run(backend(), variant), "the same bits");
    StepStats last = got.stats().get(TrainingSetup.STEPS - 1);
    assertTrue(last.l0() > 0 && last.l0() < TrainingSetup.D_SAE, "something is kept: " + last);
    if (variant.selection().rule() == Rule.BATCH_TOP_K) {
      double threshold = learned(expected);
      assertEquals(threshold, learned(got), 1e-4 * Math.abs(threshold));
      assertEquals(variant.config().threshold().rate() == 0, threshold < 0, "learned " + threshold);
    }
  }

  private static double learned(Run run) {
    return run.end()
        .states()
        .getOrDefault(State.LEARNED_THRESHOLD, Data.directBytes(8))
        .getDouble(0);
  }

  @ParameterizedTest
  @MethodSource("io.faithfulsae.conformance.ActivationTrainingCases#variants")
  default void otherActivationsResumeBitIdentically(Variant variant) {
    ask(variant);
    ResumeCases.assertResumes(backend(), variant);
  }

  @ParameterizedTest
  @MethodSource("io.faithfulsae.conformance.ActivationTrainingCases#variants")
  default void otherActivationsTrainInPartsAsTheReference(Variant variant) {
    ask(variant);
    try (ReferenceBackend reference = new ReferenceBackend();
        ReferenceBackend second = new ReferenceBackend();
        Backend another = openAnother()) {
      TrainingCases.assertRun(
          PartsCases.onOne(reference, variant), PartsCases.onOne(backend(), variant));
      TrainingCases.assertRun(
          PartsCases.onTwo(reference, second, variant),
          PartsCases.onTwo(backend(), another, variant));
    }
  }

  /** Opens another backend of the same kind; the caller closes it. */
  Backend openAnother();

  @Test
  default void whatDoesNotSuitTheActivationIsRejected() {
    StepConfig config = TrainingSetup.STUDY.config();
    Variant batch = variants().get(0);
    ask(batch);
    try (BackendSae plain = backend().createSae(4, 6, true);
        BackendSae withThresholds = TrainingSetup.sae(backend(), batch)) {
      assertThrows(
          IllegalArgumentException.class,
          () -> withThresholds.trainer(TrainingSetup.K, config).close(),
          "TopK has no thresholds");
      assertThrows(
          IllegalArgumentException.class,
          () -> plain.trainer(new Selection(Rule.BATCH_TOP_K, 7), config, Gradients.NONE).close());
      assertThrows(
          IllegalArgumentException.class,
          () -> plain.trainer(new Selection(Rule.GROUP_MAX, 4), config, Gradients.NONE).close(),
          "4 does not divide 6");
      StepConfig sparse = config.toBuilder().sparsityPenalty(Penalty.L1).build();
      assertThrows(IllegalArgumentException.class, () -> plain.trainer(2, sparse).close());
      StepConfig multi = config.toBuilder().multiTopK(0.125).build();
      StepConfig annealed = config.toBuilder().initialK(7).kDecaySteps(5).build();
      assertThrows(
          IllegalArgumentException.class,
          () -> plain.trainer(new Selection(Rule.BATCH_TOP_K, 2), multi, Gradients.NONE).close());
      assertThrows(IllegalArgumentException.class, () -> plain.trainer(2, annealed).close());
      StepConfig ranked = config.toBuilder().rankByNorm(true).build();
      assertThrows(
          IllegalArgumentException.class,
          () -> plain.trainer(new Selection(Rule.GROUP_MAX, 2), ranked, Gradients.NONE).close());
      StepConfig both = ranked.toBuilder().multiTopK(0.125).build();
      assertThrows(IllegalArgumentException.class, () -> plain.trainer(2, both).close());
      StepConfig byPrefix = config.toBuilder().auxByPrefix(true).auxDetach(true).build();
      assertThrows(
          IllegalArgumentException.class,
          () -> plain.trainer(new Selection(Rule.BATCH_TOP_K, 2), byPrefix, Gradients.NONE).close(),
          "there are no prefixes");
      StepConfig prefixes =
          config.toBuilder().prefixes(List.of(new Prefix(3, 1), new Prefix(5, 1))).build();
      assertThrows(
          IllegalArgumentException.class,
          () -> plain.trainer(new Selection(Rule.BATCH_TOP_K, 2), prefixes, Gradients.NONE).close(),
          "the last prefix has all latents");
    }
  }
}
