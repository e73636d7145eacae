package io.faithfulsae.metrics;

import io.faithfulsae.io.Expected;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * How much each latent of an SAE is used on a set of rows, and rankings of the latents by usage.
 *
 * @param source description of the rows
 * @param rows number of rows
 * @param frequency of each latent: share of rows with z ≠ 0, in [0, 1]
 * @param meanActivation of each latent: mean |z| over the rows on which it fires; 0 if it never
 *     does
 * @param attribution of each latent, to the reconstruction loss: by how much Σ‖x − x̂‖² / rows
 *     would grow if only this latent were silenced (z = 0, no other takes its place). Exact,
 *     because the loss is quadratic in z: the mean over rows of 2 z (x − x̂)·d + z² ‖d‖², where d
 *     is its decoder direction (times the row's scale if the SAE normalizes rows). Negative if the
 *     SAE would do better without the latent. In squared units of the activations
 */
public record LatentStatistics(
    String source,
    long rows,
    List<Double> frequency,
    List<Double> meanActivation,
    List<Double> attribution) {

  /** Copies the lists. */
  public LatentStatistics {
    frequency = List.copyOf(frequency);
    meanActivation = List.copyOf(meanActivation);
    attribution = List.copyOf(attribution);
  }

  /** What latents are ranked by. */
  public enum Criterion {
    /** {@link LatentStatistics#frequency}. */
    FREQUENCY,
    /** {@link LatentStatistics#meanActivation}. */
    MEAN_ACTIVATION,
    /** {@link LatentStatistics#attribution}. */
    ATTRIBUTION,
    /** The weights of a linear probe, as returned by {@code Metrics.probeWeights}. */
    PROBE_WEIGHT
  }

  /**
   * The latents that fired at least once, largest first; ties by number.
   *
   * @throws IllegalArgumentException for {@link Criterion#PROBE_WEIGHT}, which needs weights
   */
  public List<Integer> ranking(Criterion by) {
    return ranking(
        switch (by) {
          case FREQUENCY -> frequency;
          case MEAN_ACTIVATION -> meanActivation;
          case ATTRIBUTION -> attribution;
          case PROBE_WEIGHT ->
              throw new IllegalArgumentException(
                  Expected.message(
                      "a criterion computed from the rows",
                      by,
                      "pass the weights to ranking(List)"));
        });
  }

  /**
   * The latents that fired at least once, ranked by any scores, largest first; ties by number.
   *
   * @param scores one per latent
   * @throws IllegalArgumentException if the number of scores is not the number of latents
   */
  public List<Integer> ranking(List<Double> scores) {
    if (scores.size() != frequency.size()) {
      throw new IllegalArgumentException(
          Expected.message(
              frequency.size() + " scores, one per latent",
              scores.size(),
              "pass as many scores as the SAE has latents"));
    }
    return IntStream.range(0, scores.size())
        .filter(latent -> frequency.get(latent) > 0)
        .boxed()
        .sorted(Comparator.comparingDouble((Integer latent) -> -scores.get(latent)))
        .toList();
  }
}
