package io.faithfulsae.metrics;

import io.faithfulsae.io.Expected;
import java.util.List;

/**
 * How much of an SAE's quality a subset of its latents carries: the SAE is evaluated with only the
 * best, and only the worst, n latents of a ranking. The others are silenced once latents have been
 * chosen ({@code Sae.only}), so that no other latent takes their place; b_dec stays, so n = 0
 * leaves b_dec alone.
 *
 * <p>If n exceeds the number of ranked latents, all of them are kept. Only latents that fired when
 * the ranking was made are ranked, so that the worst are not merely dead.
 *
 * @param ranked number of latents that were ranked
 * @param whole the SAE with all its latents
 * @param best with only the first n of the ranking, in the order of {@link Options#sizes}
 * @param worst with only the last n of the ranking, in the same order
 */
public record FeatureSubsets(int ranked, Subset whole, List<Subset> best, List<Subset> worst) {

  /** Copies the lists. */
  public FeatureSubsets {
    best = List.copyOf(best);
    worst = List.copyOf(worst);
  }

  /**
   * The SAE with a subset of its latents.
   *
   * @param latents number of latents kept
   * @param reconstruction of activations; its dead latents are those that fired on no row, silenced
   *     ones included
   * @param crossEntropy of the model with the reconstruction in place
   */
  public record Subset(int latents, Reconstruction reconstruction, CrossEntropy crossEntropy) {

    /**
     * Ratio of this subset's explained variance to that of another SAE (or subset): 1 if nothing is
     * lost, below 0 if this subset is worse than predicting the mean.
     */
    public double explainedOf(Subset all) {
      return reconstruction.explainedVariance() / all.reconstruction.explainedVariance();
    }

    /**
     * Ratio of the loss that this subset recovers over zero ablation to the loss that another SAE
     * (or subset) recovers: (CE_zero − CE) / (CE_zero − CE of the other).
     */
    public double recoveredOf(Subset all) {
      return (crossEntropy.zeroAblated() - crossEntropy.replaced())
          / (all.crossEntropy.zeroAblated() - all.crossEntropy.replaced());
    }
  }

  /**
   * What to measure.
   *
   * @param sizes numbers of latents, at least 0
   * @param batchSequences sequences per forward pass
   * @param rows maximum number of rows for the reconstruction
   * @param ceTokens predicted tokens for the cross entropy
   */
  public record Options(List<Integer> sizes, int batchSequences, long rows, long ceTokens) {

    /**
     * The defaults of the command line: 32 sequences per forward pass, 100,000 rows, 20,000 tokens.
     *
     * @throws IllegalArgumentException if there are no sizes or one is below 0
     */
    public static Options of(List<Integer> sizes) {
      return new Options(sizes, 32, 100_000, 20_000);
    }

    /**
     * Checks the sizes.
     *
     * @throws IllegalArgumentException if there are no sizes or one is below 0
     */
    public Options {
      sizes = List.copyOf(sizes);
      if (sizes.isEmpty() || sizes.stream().anyMatch(n -> n < 0)) {
        throw new IllegalArgumentException(
            Expected.message("one or more sizes >= 0", sizes, "correct the list"));
      }
    }
  }
}
