package io.faithfulsae.jni.internal;

import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.StepConfig;
import java.util.Arrays;

/**
 * The options of a step in the form that sae_trainer_create takes; API enums have the ordinals of
 * sae_abi.h.
 */
final class TrainerOptions {
  private int[] keys = new int[0];
  private double[] values = new double[0];

  private TrainerOptions() {}

  static TrainerOptions of(Selection selection, StepConfig config, Gradients gradients) {
    TrainerOptions options =
        new TrainerOptions()
            .put(SaeAbi.SAE_OPT_K, selection.k())
            .put(SaeAbi.SAE_OPT_RULE, selection.rule().ordinal())
            .put(SaeAbi.SAE_OPT_LOSS, config.loss().ordinal())
            .put(SaeAbi.SAE_OPT_AUX_COEFFICIENT, config.aux().coefficient())
            .put(SaeAbi.SAE_OPT_AUX_K, config.aux().k())
            .put(SaeAbi.SAE_OPT_AUX_NORM, config.aux().norm().ordinal())
            .put(SaeAbi.SAE_OPT_AUX_DETACH, config.aux().detach())
            .put(SaeAbi.SAE_OPT_AUX_SCALE_BY_DEAD, config.aux().scaleByDead())
            .put(SaeAbi.SAE_OPT_AUX_SIGNED, config.aux().signed())
            .put(SaeAbi.SAE_OPT_AUX_BY_PREFIX, config.aux().byPrefix())
            .put(SaeAbi.SAE_OPT_RANK_BY_NORM, config.rankByNorm())
            .put(SaeAbi.SAE_OPT_DEAD_AFTER_BATCHES, config.dead().afterBatches())
            .put(SaeAbi.SAE_OPT_DEAD_AFTER_ROWS, (double) config.dead().afterRows())
            .put(SaeAbi.SAE_OPT_ADAM_BETA1, config.adam().beta1())
            .put(SaeAbi.SAE_OPT_ADAM_BETA2, config.adam().beta2())
            .put(SaeAbi.SAE_OPT_ADAM_EPS, config.adam().eps())
            .put(SaeAbi.SAE_OPT_CLIP_NORM, config.adam().clipNorm())
            .put(SaeAbi.SAE_OPT_DECODER_NORM, config.weights().decoderNorm().ordinal())
            .put(SaeAbi.SAE_OPT_PROJECT_GRADIENT, config.weights().projectGradient())
            .put(SaeAbi.SAE_OPT_TRAIN_B_ENC, config.weights().trainEncoderBias())
            .put(SaeAbi.SAE_OPT_FREEZE_DECODER, config.weights().freezeDecoder())
            .put(SaeAbi.SAE_OPT_CLIP_PROJECTED, config.adam().clipProjected())
            .put(SaeAbi.SAE_OPT_THRESHOLD_RATE, config.threshold().rate())
            .put(SaeAbi.SAE_OPT_THRESHOLD_AFTER, (double) config.threshold().afterSteps())
            .put(SaeAbi.SAE_OPT_THRESHOLD_FROM_FIRST, config.threshold().fromFirst())
            .put(SaeAbi.SAE_OPT_SPARSITY, config.sparsity().penalty().ordinal())
            .put(SaeAbi.SAE_OPT_SPARSITY_COEFFICIENT, config.sparsity().coefficient())
            .put(SaeAbi.SAE_OPT_SPARSITY_WARMUP, (double) config.sparsity().warmupSteps())
            .put(SaeAbi.SAE_OPT_TARGET_L0, config.sparsity().targetL0())
            .put(SaeAbi.SAE_OPT_TANH_SCALE, config.sparsity().tanhScale())
            .put(SaeAbi.SAE_OPT_WEIGHT_BY_NORM, config.sparsity().weightByNorm())
            .put(SaeAbi.SAE_OPT_BANDWIDTH, config.sparsity().bandwidth())
            .put(SaeAbi.SAE_OPT_STE_TO_INPUT, config.sparsity().steToInput())
            .put(SaeAbi.SAE_OPT_GATE_DETACH, config.sparsity().gateDetach())
            .put(SaeAbi.SAE_OPT_INITIAL_K, config.annealing().initialK())
            .put(SaeAbi.SAE_OPT_K_DECAY_STEPS, (double) config.annealing().decaySteps())
            .put(SaeAbi.SAE_OPT_MULTI_TOPK, config.multiTopK())
            .put(SaeAbi.SAE_OPT_OPTIMIZER, config.optimizer().ordinal())
            .put(SaeAbi.SAE_OPT_GRADIENTS, gradients.ordinal())
            .put(SaeAbi.SAE_OPT_PREFIXES, config.prefixes().size());
    for (int i = 0; i < config.prefixes().size(); i++) {
      options
          .put(SaeAbi.SAE_OPT_PREFIX_LATENTS + i, config.prefixes().get(i).latents())
          .put(SaeAbi.SAE_OPT_PREFIX_WEIGHT + i, config.prefixes().get(i).weight());
    }
    return options;
  }

  private TrainerOptions put(int key, boolean value) {
    return put(key, value ? 1 : 0);
  }

  private TrainerOptions put(int key, double value) {
    keys = Arrays.copyOf(keys, keys.length + 1);
    values = Arrays.copyOf(values, keys.length);
    keys[keys.length - 1] = key;
    values[keys.length - 1] = value;
    return this;
  }

  int[] keys() {
    return keys;
  }

  double[] values() {
    return values;
  }

  int count() {
    return keys.length;
  }
}
