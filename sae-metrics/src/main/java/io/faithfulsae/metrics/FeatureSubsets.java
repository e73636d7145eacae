package io.faithfulsae.metrics;

import java.util.List;

/**
 * How much of an SAE's result some of its latents carry: it is evaluated with the best, and with
 * the worst, n latents of a ranking alone. The others are silenced after the top-k ({@code
 * Sae.only}), so that none takes the place of another; b_dec stays, so that n = 0 is b_dec alone.
 *
 * <p>Where n exceeds the number of ranked latents, all of them are kept. Best and worst are of the
 * latents that fired where the ranking was made, so that the worst are not merely dead ones.
 *
 * @param ranked number of latents that were ranked
 * @param whole the SAE with all its latents
 * @param best with the first n of the ranking alone, in the order of {@link Options#sizes}
 * @param worst with the last n of the ranking alone, in the same order
 */
public record FeatureSubsets(int ranked, Subset whole, List<Subset> best, List<Subset> worst) {

  /** Copies the lists. */
  public FeatureSubsets {
    best = List.copyOf(best);
    worst = List.copyOf(worst);
  }

  /**
   * The SAE with some of its latents.
   *
   * @param latents number of latents that were kept
   * @param reconstruction of activations; its dead latents are those that fired on no row, the
   *     silenced ones among them
   * @param crossEntropy of the model with the reconstruction in place
   */
  public record Subset(int latents, Reconstruction reconstruction, CrossEntropy crossEntropy) {

    /**
     * The share of what another SAE (or subset) explains that this one explains: the ratio of
     * explained variances. 1 where nothing is lost; below 0 where this is worse than the mean.
     */
    public double explainedOf(Subset all) {
      return reconstruction.explainedVariance() / all.reconstruction.explainedVariance();
    }

    /**
     * The share of the loss that another SAE (or subset) recovers over zero ablation which this one
     * recovers: (CE_zero − CE) / (CE_zero − CE of the other).
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
   * @param batchSequences sequences of a forward pass
   * @param rows rows for the reconstruction, at most
   * @param ceTokens predicted tokens for the cross entropy
   */
  public record Options(List<Integer> sizes, int batchSequences, long rows, long ceTokens) {

    /**
     * As the command line measures: 32 sequences per forward pass, 100,000 rows, 20,000 tokens.
     *
     * @throws IllegalArgumentException if there is no size or one is below 0
     */
    public static Options of(List<Integer> sizes) {
      return new Options(sizes, 32, 100_000, 20_000);
    }

    /**
     * Checks the sizes.
     *
     * @throws IllegalArgumentException if there is none or one is below 0
     */
    public Options {
      sizes = List.copyOf(sizes);
      if (sizes.isEmpty() || sizes.stream().anyMatch(n -> n < 0)) {
        throw new IllegalArgumentException(
            "expected numbers of latents from 0 on, got " + sizes + "; correct them");
      }
    }
  }
}
