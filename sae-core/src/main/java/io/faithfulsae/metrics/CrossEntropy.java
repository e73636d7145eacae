package io.faithfulsae.metrics;

/**
 * What an SAE's reconstruction costs the language model: next-token cross entropy with the residual
 * stream at a hook point as it is (clean), replaced by x̂, and set to zero.
 *
 * <p>All means are over the predicted positions, which are all positions of a sequence but the last
 * one. Positions that the filter leaves out keep their own activations in both interventions, so
 * that the two are of the same positions; what is predicted from them still counts. Text without a
 * predicted position is refused.
 *
 * <p><b>Units</b>: nats. <b>Source</b>: FaithfulSAE's cross-data script (difference), SAELens and
 * Gao et al. 2024 (loss recovered).
 *
 * @param model name of the language model
 * @param hook the hook point
 * @param text what the text was
 * @param sequences sequences seen
 * @param tokensPredicted predicted positions, over which the means are
 * @param positionsReplaced positions whose activations were replaced
 * @param positionsKept positions that the filter left as they were
 * @param clean cross entropy of the model itself, at least 0
 * @param replaced cross entropy with x̂ in place of x, at least 0
 * @param zeroAblated cross entropy with 0 in place of x, at least 0
 * @param difference replaced − clean
 * @param lossRecovered (zeroAblated − replaced) / (zeroAblated − clean): 1 when nothing is lost, 0
 *     when x̂ is no better than zeros, unbounded both ways; 0 where zeros cost nothing
 * @param klDivergence mean KL(clean ‖ replaced) of the next-token distributions, at least 0
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
    double difference,
    double lossRecovered,
    double klDivergence) {}
