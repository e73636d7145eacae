package io.faithfulsae.training;

import io.faithfulsae.spi.StepConfig.AuxNorm;
import io.faithfulsae.spi.StepConfig.DecoderNorm;
import io.faithfulsae.spi.StepConfig.Loss;
import io.faithfulsae.training.TrainingConfig.DecoderBiasInit;
import io.faithfulsae.training.TrainingConfig.EncoderInit;

/**
 * Settings of other libraries' trainers; {@link TrainingConfig}'s factory methods document the
 * remaining differences.
 */
final class PeerPresets {
  private PeerPresets() {}

  static TrainingConfig saeLens(int dIn) {
    return TrainingConfig.builder()
        .loss(Loss.SUM_MEAN)
        .auxCoefficient(1)
        .auxK(Math.max(1, dIn / 2))
        .auxNorm(AuxNorm.SUM_MEAN)
        .auxDetach(true)
        .auxScaleByDead(true)
        .deadAfterBatches(1000)
        .beta2(0.999)
        .clipNorm(1)
        .decoderNorm(DecoderNorm.AFTER_STEP)
        .trainEncoderBias(true)
        .build();
  }

  static TrainingConfig dictionaryLearning(int dIn, int dSae) {
    return TrainingConfig.builder()
        .batch(2048)
        .lr(2e-4 / Math.sqrt(dSae / 16384.0))
        .warmupSteps(1000)
        .loss(Loss.SUM_MEAN)
        .auxK(Math.max(1, dIn / 2))
        .auxNorm(AuxNorm.RESIDUAL_VARIANCE)
        .auxDetach(true)
        .deadAfterBatches(0)
        .deadAfterRows(10_000_000)
        .beta2(0.999)
        .clipNorm(1)
        .decoderNorm(DecoderNorm.AFTER_STEP)
        .trainEncoderBias(true)
        .decoderBiasInit(DecoderBiasInit.GEOMETRIC_MEDIAN)
        .build();
  }

  static TrainingConfig sparsifyAdam(int dIn, int dSae, long tokens, int batch) {
    long warmup = Math.min(1000, tokens / batch);
    return TrainingConfig.builder()
        .tokens(tokens)
        .batch(batch)
        .bufferRows(Math.max(batch, TrainingConfig.Builder.BUFFER_ROWS))
        .lr(2e-4 / Math.sqrt(dSae / 16384.0))
        .warmupSteps(warmup)
        .decaySteps(tokens / batch - warmup)
        .loss(Loss.FVU)
        .auxCoefficient(0)
        .auxK(Math.max(1, dIn / 2))
        .auxNorm(AuxNorm.TARGET_VARIANCE)
        .auxDetach(true)
        .auxScaleByDead(true)
        .deadAfterBatches(0)
        .deadAfterRows(10_000_000)
        .beta2(0.999)
        .clipNorm(0)
        .decoderNorm(DecoderNorm.AFTER_STEP)
        .trainEncoderBias(true)
        .encoderInit(EncoderInit.LINEAR)
        .decoderBiasInit(DecoderBiasInit.MEAN)
        .build();
  }
}
