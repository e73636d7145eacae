package io.faithfulsae.training;

import io.faithfulsae.Activation;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.StepConfig.AuxNorm;
import io.faithfulsae.spi.StepConfig.DecoderNorm;
import io.faithfulsae.spi.StepConfig.Loss;
import io.faithfulsae.spi.StepConfig.Optimizer;
import io.faithfulsae.spi.StepConfig.Penalty;
import io.faithfulsae.training.TrainingConfig.DecoderBiasInit;
import io.faithfulsae.training.TrainingConfig.EncoderInit;

/**
 * Settings of other libraries' trainers; {@link TrainingConfig}'s factory methods document the
 * remaining differences.
 */
final class PeerPresets {
  /**
   * Tokens without firing after which a latent is dead in sparsify, dictionary_learning, OpenAI.
   */
  static final long DEAD_AFTER_ROWS = 10_000_000;

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

  static TrainingConfig saeLens(Activation activation, int dIn) {
    TrainingConfig.Builder builder =
        saeLens(dIn).toBuilder()
            .decoderNorm(DecoderNorm.NONE)
            .projectGradient(false)
            .encoderInit(EncoderInit.TENTH);
    if (activation instanceof Activation.TopK
        || activation instanceof Activation.AbsTopK
        || activation instanceof Activation.BatchTopK) {
      return builder
          .rankByNorm(true)
          .auxSigned(true)
          .deadAfterBatches(1002) // dead before a batch if idle for more than 1000
          .build();
    }
    builder.auxCoefficient(0).sparsityCoefficient(1);
    if (activation instanceof Activation.Relu) {
      return builder.sparsityPenalty(Penalty.L1).build();
    }
    if (activation instanceof Activation.Gated) {
      return builder.sparsityPenalty(Penalty.L1).build();
    }
    requireJumpRelu(activation);
    return builder.sparsityPenalty(Penalty.L0).bandwidth(0.05).initialThreshold(0.01).build();
  }

  static TrainingConfig dictionaryLearning(Activation activation, int dIn, int dSae) {
    TrainingConfig topK = dictionaryLearning(dIn, dSae);
    if (activation instanceof Activation.TopK) {
      return topK;
    }
    TrainingConfig.Builder builder = topK.toBuilder().clipProjected(true);
    if (activation instanceof Activation.BatchTopK) {
      return builder
          .thresholdRate(0.001)
          .thresholdAfterSteps(1001)
          .thresholdFromFirst(true)
          .build();
    }
    builder.auxCoefficient(0).sparsityWarmupSteps(2000).decoderBiasInit(DecoderBiasInit.ZERO);
    if (activation instanceof Activation.Relu) {
      return builder
          .lr(1e-3)
          .clipNorm(0)
          .encoderInit(EncoderInit.TENTH)
          .sparsityPenalty(Penalty.L1)
          .sparsityCoefficient(0.1)
          .weightByNorm(false)
          .build();
    }
    if (activation instanceof Activation.Gated) {
      return builder
          .lr(5e-5)
          .beta1(0)
          .clipNorm(0)
          .sparsityPenalty(Penalty.L1)
          .sparsityCoefficient(0.1)
          .weightByNorm(false)
          .gateDetach(true)
          .build();
    }
    requireJumpRelu(activation);
    return builder
        .lr(7e-5)
        .beta1(0)
        .sparsityPenalty(Penalty.L0_OF_BATCH)
        .sparsityCoefficient(1)
        .targetL0(20)
        .bandwidth(0.001)
        .initialThreshold(0.001)
        .build();
  }

  private static void requireJumpRelu(Activation activation) {
    if (!(activation instanceof Activation.JumpRelu)) {
      throw new IllegalArgumentException(
          Expected.message(
              "an activation that this library trains: topk, batchtopk, relu, jumprelu or gated",
              activation,
              "train one of those"));
    }
  }

  static TrainingConfig dictionaryLearning(int dIn, int dSae) {
    return TrainingConfig.builder()
        .batch(2048)
        .lr(TrainingConfig.lrByWidth(Optimizer.ADAM, dSae))
        .warmupSteps(1000)
        .loss(Loss.SUM_MEAN)
        .auxK(Math.max(1, dIn / 2))
        .auxNorm(AuxNorm.RESIDUAL_VARIANCE)
        .auxDetach(true)
        .deadAfterBatches(0)
        .deadAfterRows(DEAD_AFTER_ROWS)
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
        .lr(TrainingConfig.lrByWidth(Optimizer.ADAM, dSae))
        .warmupSteps(warmup)
        .decaySteps(tokens / batch - warmup)
        .loss(Loss.FVU)
        .auxCoefficient(0)
        .auxK(Math.max(1, dIn / 2))
        .auxNorm(AuxNorm.TARGET_VARIANCE)
        .auxDetach(true)
        .auxScaleByDead(true)
        .deadAfterBatches(0)
        .deadAfterRows(DEAD_AFTER_ROWS)
        .beta2(0.999)
        .clipNorm(0)
        .decoderNorm(DecoderNorm.AFTER_STEP)
        .trainEncoderBias(true)
        .encoderInit(EncoderInit.LINEAR)
        .decoderBiasInit(DecoderBiasInit.MEAN)
        .build();
  }

  static TrainingConfig openAi(int dIn) {
    return TrainingConfig.builder()
        .batch(131_072)
        .bufferRows(4 * 131_072)
        .lr(1e-4)
        .loss(Loss.FVU)
        .auxK(Math.max(1, Integer.highestOneBit(dIn / 2)))
        .auxNorm(AuxNorm.RESIDUAL_VARIANCE)
        .auxDetach(true)
        .deadAfterBatches(0)
        .deadAfterRows(DEAD_AFTER_ROWS)
        .beta2(0.999)
        .eps(6.25e-10)
        .clipNorm(0)
        .decoderNorm(DecoderNorm.BEFORE_STEP)
        .trainEncoderBias(true)
        .encoderInit(EncoderInit.LINEAR)
        .decoderBiasInit(DecoderBiasInit.GEOMETRIC_MEDIAN)
        .build();
  }

  static TrainingConfig sparsify(Optimizer optimizer, SaeConfig sae, long tokens, int batch) {
    TrainingConfig.Builder builder =
        sparsifyAdam(sae.dOut(), sae.dSae(), tokens, batch).toBuilder()
            .optimizer(optimizer)
            .lr(TrainingConfig.lrByWidth(optimizer, sae.dSae()));
    if (optimizer != Optimizer.ADAM) {
      builder.warmupSteps(0).decaySteps(optimizer == Optimizer.MUON ? tokens / batch : 0);
    }
    if (!sae.subtractDecoderBias()) {
      builder.decoderNorm(DecoderNorm.NONE).projectGradient(false);
    }
    return builder.build();
  }
}
