package io.faithfulsae.study;

import io.faithfulsae.io.Expected;
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

  /**
   * Of an activation; one that the authors do not train is trained as SAELens trains it.
   *
   * @param tokens rows to train on; sparsify's schedule depends on them
   * @param batch rows per step, likewise
   * @throws IllegalArgumentException if the recipe has no such activation
   */
  public TrainingConfig config(SaeFamily family, int dIn, int dSae, long tokens, int batch) {
    return switch (family) {
      case TOPK -> ofTopK(dIn, dSae, tokens, batch);
      case ABSTOPK, GROUPMAX ->
          switch (this) {
            case FAITHFULSAE, SPARSIFY -> ofTopK(dIn, dSae, tokens, batch);
            default -> throw unsuitable(family);
          };
      case BATCHTOPK, RELU, JUMPRELU, GATED ->
          switch (this) {
            case FAITHFULSAE, SAELENS ->
                // options.rankByNorm may say otherwise
                TrainingConfig.saeLensUnranked(family.activation(1), dIn);
            case DICTIONARY_LEARNING ->
                TrainingConfig.dictionaryLearning(family.activation(1), dIn, dSae);
            case SPARSIFY -> throw unsuitable(family);
          };
    };
  }

  private IllegalArgumentException unsuitable(SaeFamily family) {
    return new IllegalArgumentException(
        "training.preset: "
            + Expected.message(
                "a recipe of " + family, this, "use faithfulsae, or another activation"));
  }

  private TrainingConfig ofTopK(int dIn, int dSae, long tokens, int batch) {
    return switch (this) {
      case FAITHFULSAE -> TrainingConfig.faithfulSae();
      case SAELENS -> TrainingConfig.saeLens(dIn);
      case DICTIONARY_LEARNING -> TrainingConfig.dictionaryLearning(dIn, dSae);
      case SPARSIFY -> TrainingConfig.sparsifyAdam(dIn, dSae, tokens, batch);
    };
  }
}
