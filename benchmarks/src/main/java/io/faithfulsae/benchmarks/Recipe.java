package io.faithfulsae.benchmarks;

import io.faithfulsae.spi.StepConfig;
import io.faithfulsae.spi.StepConfig.DecoderNorm;
import io.faithfulsae.spi.StepConfig.Loss;

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
  STUDY;

  /** The options of a training step. */
  public StepConfig config() {
    StepConfig.Builder builder = StepConfig.builder();
    if (this == STUDY) {
      return builder.build();
    }
    return builder
        .loss(Loss.FVU)
        .auxCoefficient(0)
        .beta2(0.999)
        .clipNorm(0)
        .decoderNorm(DecoderNorm.AFTER_STEP)
        .trainEncoderBias(true)
        .build();
  }

  /** sparsify's rule for Adam, or 3e-4, which the study uses for GPT-2. */
  public double learningRate(Workload workload) {
    return this == STUDY ? 3e-4 : 2e-4 / Math.sqrt(workload.dSae() / 16384.0);
  }
}
