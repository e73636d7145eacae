package io.faithfulsae.benchmarks;

import io.faithfulsae.Activation;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.StepConfig;
import io.faithfulsae.spi.StepConfig.Prefix;
import io.faithfulsae.training.TrainingConfig;

/** What one training step computes. */
public enum Recipe {
  /**
   * sparsify's defaults with its Adam: FVU loss, encoder bias, no auxiliary loss, gradient
   * projection, unit rows after the step (sparsify normalizes them before its next forward pass,
   * which is equivalent).
   */
  SPARSIFY,
  /**
   * The study's trainer: mean squared error, auxiliary loss on dead latents, clipping, projection.
   */
  STUDY,
  /** SAELens' trainer of each family. */
  SAELENS,
  /** dictionary_learning's trainer of each family. */
  DICTIONARY_LEARNING;

  /**
   * A learning rate at which no weight changes, for the trainers whose latents become sparser or
   * denser as they learn: every step then costs the same, however many the clock allows.
   */
  static final double STANDING_STILL = 0;

  /** Whether it is a peer's trainer of each family, and not one of TopK alone. */
  boolean ofFamilies() {
    return this == SAELENS || this == DICTIONARY_LEARNING;
  }

  /** A workload's SAE of a family, as the recipe trains it. */
  LoadedSae load(Workload workload, String family) {
    if (!ofFamilies() && !family.equals("topk")) {
      throw new IllegalArgumentException(
          Expected.message("activation=topk for recipe=" + this, family, "use another recipe"));
    }
    boolean subtract = !(this == DICTIONARY_LEARNING && family.equals("jumprelu"));
    return Families.load(workload, family, subtract);
  }

  /** The options of a training step. */
  StepConfig config(String family, Workload workload) {
    Activation activation = Families.activation(family, workload.k());
    StepConfig.Builder builder =
        switch (this) {
          case STUDY -> StepConfig.builder();
          case SPARSIFY ->
              TrainingConfig.sparsifyAdam(
                  workload.dIn(), workload.dSae(), workload.rows(), workload.rows())
                  .step()
                  .toBuilder();
          case SAELENS -> saeLens(activation, workload.dIn()).step().toBuilder();
          case DICTIONARY_LEARNING ->
              TrainingConfig.dictionaryLearning(activation, workload.dIn(), workload.dSae())
                  .step()
                  .toBuilder();
        };
    if (family.equals("matryoshka")) {
      double weight = this == SAELENS ? 1 : 1.0 / 9; // three weights of 1/3, in a mean over three
      builder.prefixes(
          Families.levels(workload.dSae()).stream().map(n -> new Prefix(n, weight)).toList());
    }
    return builder.build();
  }

  /** As any backend trains it: latents are ranked by activation alone, on both sides. */
  private static TrainingConfig saeLens(Activation activation, int dIn) {
    return activation instanceof Activation.TopK
        ? TrainingConfig.saeLens(dIn)
        : TrainingConfig.saeLensUnranked(activation, dIn);
  }

  /** sparsify's rule for Adam; 3e-4, which the study uses for GPT-2; or standing still. */
  double learningRate(Workload workload) {
    return switch (this) {
      case STUDY -> 3e-4;
      case SPARSIFY -> 2e-4 / Math.sqrt(workload.dSae() / 16384.0);
      case SAELENS, DICTIONARY_LEARNING -> STANDING_STILL;
    };
  }
}
