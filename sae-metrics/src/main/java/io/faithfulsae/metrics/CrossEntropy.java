package io.faithfulsae.metrics;

import java.util.List;

/**
 * What an SAE's reconstruction costs the language model: next-token cross entropy with the residual
 * stream at a hook point as it is (clean), replaced by x̂, set to zero, and set to its mean.
 *
 * <p>All means are over the predicted positions, which are all positions of a sequence except the
 * last. Positions that the filter excludes keep their own activations in all interventions, so that
 * all interventions change the same positions; predictions from excluded positions still count. The
 * mean is that of x over exactly the replaced positions of this text: BOS and massive activations
 * that the filter excludes are not in it. Text without a predicted position is rejected.
 *
 * <p>Zeros are far from anything the model sees, so recovery over zero ablation flatters the SAE;
 * the mean is the best constant. Intervals are 95 % studentized bootstrap intervals from 10,000
 * resamples of sequences, the same resamples for all SAEs on one text; the estimate of each is the
 * field it belongs to.
 *
 * <p><b>Units</b>: nats. <b>Source</b>: FaithfulSAE's cross-data script (difference), SAELens and
 * Gao et al. 2024 (loss recovered); mean ablation as in dictionary_learning and Chan et al. 2022
 * (causal scrubbing).
 *
 * @param model name of the language model
 * @param hook the hook point whose activations were replaced: of a transcoder, the one it writes
 * @param text description of the text
 * @param sequences number of sequences
 * @param tokensPredicted predicted positions, over which the means are taken
 * @param positionsReplaced positions whose activations were replaced
 * @param positionsKept positions that the filter excluded
 * @param clean cross entropy of the model itself, at least 0
 * @param replaced cross entropy with x̂ in place of x, at least 0
 * @param zeroAblated cross entropy with 0 in place of x, at least 0
 * @param meanAblated cross entropy with the mean of x in place of x, at least 0
 * @param difference replaced − clean
 * @param differenceInterval its interval
 * @param lossRecovered over zero ablation: (zeroAblated − replaced) / (zeroAblated − clean): 1 when
 *     nothing is lost, 0 when x̂ is no better than zeros, unbounded in both directions; 0 where
 *     zeros cost nothing
 * @param lossRecoveredInterval its interval
 * @param lossRecoveredOverMean over mean ablation: (meanAblated − replaced) / (meanAblated −
 *     clean); 0 where the mean costs nothing
 * @param lossRecoveredOverMeanInterval its interval
 * @param klDivergence mean KL(clean ‖ replaced) of the next-token distributions, at least 0
 * @param klDivergenceInterval its interval
 * @param blocks sums over sequences, for further resampling: one entry per sequence, or at most 512
 *     blocks of consecutive sequences, all of one size except perhaps the last
 */
public record CrossEntropy(
    String model,
    String hook,
    String text,
    long sequences,
    long tokensPredicted,
    long positionsReplaced,
    long positionsKept,
    double clean,
    double replaced,
    double zeroAblated,
    double meanAblated,
    double difference,
    BootstrapInterval differenceInterval,
    double lossRecovered,
    BootstrapInterval lossRecoveredInterval,
    double lossRecoveredOverMean,
    BootstrapInterval lossRecoveredOverMeanInterval,
    double klDivergence,
    BootstrapInterval klDivergenceInterval,
    List<Losses> blocks) {

  /** Copies the list. */
  public CrossEntropy {
    blocks = List.copyOf(blocks);
  }

  /**
   * Sums over the predicted positions of some sequences, in nats.
   *
   * @param predicted number of positions
   * @param clean of the model itself
   * @param replaced with x̂
   * @param zeroAblated with zeros
   * @param meanAblated with the mean
   * @param klDivergence of clean and replaced
   */
  public record Losses(
      long predicted,
      double clean,
      double replaced,
      double zeroAblated,
      double meanAblated,
      double klDivergence) {}
}
