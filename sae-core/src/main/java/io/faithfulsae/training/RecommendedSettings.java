package io.faithfulsae.training;

import io.faithfulsae.Activation;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.spi.StepConfig.AuxNorm;
import io.faithfulsae.spi.StepConfig.DecoderNorm;
import io.faithfulsae.spi.StepConfig.Loss;
import io.faithfulsae.spi.StepConfig.Optimizer;
import io.faithfulsae.training.TrainingConfig.DecoderBiasInit;
import io.faithfulsae.training.TrainingConfig.EncoderInit;

/**
 * The rule of {@link TrainingConfig#recommended}, which documents it; {@code docs/training.md} has
 * the measurements behind its numbers.
 */
final class RecommendedSettings {
  /** What SAELens and BatchTopK train with. */
  private static final int LARGEST_BATCH = 4096;

  /** Below, steps take longer for each row, and rows of a step are no longer a sample. */
  private static final int SMALLEST_BATCH = 64;

  /** Fewer are too few for Adam to get anywhere. */
  private static final int FEWEST_STEPS = 500;

  /** From here on, the learning rate of sparsify and dictionary_learning is used as it is. */
  private static final double LONG_RUN_STEPS = 10_000;

  /**
   * A latent that fires as often as the average one does so this often before it counts as dead.
   */
  private static final long FIRINGS = 16;

  private RecommendedSettings() {}

  static int batch(long tokens, int most) {
    long enough = Math.max(SMALLEST_BATCH, Long.highestOneBit(Math.max(1, tokens / FEWEST_STEPS)));
    return (int) Math.max(1, Math.min(Math.min(enough, most), tokens));
  }

  static int batch(long tokens) {
    return batch(tokens, LARGEST_BATCH);
  }

  static TrainingConfig of(SaeConfig sae, long tokens, int batch) {
    Activation activation = sae.activation();
    boolean hasK = activation.latentsPerRow().isPresent();
    TrainingConfig.Builder builder =
        hasK
            ? ofK(sae, tokens, tokens / batch)
            : TrainingConfig.saeLensUnranked(activation, sae.dIn()).toBuilder();
    if (!sae.subtractDecoderBias()) { // a transcoder, as sparsify trains it
      builder
          .trainEncoderBias(true)
          .decoderNorm(DecoderNorm.NONE)
          .projectGradient(false)
          .decoderBiasInit(DecoderBiasInit.MEAN);
    }
    return builder
        .tokens(tokens)
        .batch(batch)
        .bufferRows(Math.max(TrainingConfig.Builder.BUFFER_ROWS, 4 * batch))
        .build();
  }

  private static TrainingConfig.Builder ofK(SaeConfig sae, long tokens, long steps) {
    double raised = Math.max(1, Math.sqrt(LONG_RUN_STEPS / Math.max(1, steps)));
    return TrainingConfig.builder()
        .lr(TrainingConfig.lrByWidth(Optimizer.ADAM, sae.dSae()) * raised)
        .warmupSteps(Math.min(1000, steps / 20))
        .decaySteps(steps / 5)
        .loss(Loss.FVU)
        .auxCoefficient(0.5)
        .auxK(Math.max(1, sae.dOut() / 2))
        .auxNorm(AuxNorm.RESIDUAL_VARIANCE)
        .auxDetach(true)
        .deadAfterBatches(0)
        .deadAfterRows(deadAfterRows(sae, tokens))
        .beta2(0.999)
        .clipNorm(1)
        .decoderNorm(DecoderNorm.AFTER_STEP)
        .trainEncoderBias(true)
        .encoderInit(EncoderInit.LINEAR)
        .decoderBiasInit(DecoderBiasInit.GEOMETRIC_MEDIAN);
  }

  private static long deadAfterRows(SaeConfig sae, long tokens) {
    long often = FIRINGS * sae.dSae() / sae.k();
    return Math.min(PeerPresets.DEAD_AFTER_ROWS, Math.max(tokens / 40, often));
  }
}
