package io.faithfulsae.study;

import io.faithfulsae.training.TrainingConfig;

/**
 * Whose training recipe an SAE uses: loss, auxiliary loss, optimizer, normalization and
 * initialization. Rows, batch and shuffle buffer are the study's own for all, so that they share
 * one stream.
 */
public enum Recipe {
  /** The study's authors' and BatchTopK's. */
  FAITHFULSAE,
  /** SAELens'. */
  SAELENS,
  /** dictionary_learning's. */
  DICTIONARY_LEARNING,
  /** EleutherAI's sparsify, with Adam. */
  SPARSIFY;

  TrainingConfig config(int dIn, int dSae, long tokens, int batch) {
    return switch (this) {
      case FAITHFULSAE -> TrainingConfig.faithfulSae();
      case SAELENS -> TrainingConfig.saeLens(dIn);
      case DICTIONARY_LEARNING -> TrainingConfig.dictionaryLearning(dIn, dSae);
      case SPARSIFY -> TrainingConfig.sparsifyAdam(dIn, dSae, tokens, batch);
    };
  }
}
