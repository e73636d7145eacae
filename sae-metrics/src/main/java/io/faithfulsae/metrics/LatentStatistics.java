package io.faithfulsae.metrics;

import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * How much each latent of an SAE is used on some rows, and rankings of latents by it.
 *
 * @param source what the rows were
 * @param rows number of rows
 * @param frequency of each latent: share of rows with z &gt; 0, in [0, 1]
 * @param meanActivation of each latent: mean z over the rows on which it fires; 0 if it never does
 * @param attribution of each latent, to the reconstruction loss: by how much Σ‖x − x̂‖² / rows
 *     would grow if this latent alone were silent (z = 0, no other takes its place). Exact, since
 *     the loss is quadratic in z: mean over rows of 2 z (x − x̂)·d + z² ‖d‖², d its decoder
 *     direction (times the row's scale where the SAE normalises rows). Negative where the SAE would
 *     be better without it. In squared units of the activations
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
    /** The weights of a linear probe, as {@code Metrics.probeWeights} gives them. */
    PROBE_WEIGHT
  }

  /**
   * The latents that fired at all, largest first; of equals the lower number first.
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
                  "expected a criterion that needs the rows alone, got PROBE_WEIGHT; give the weights to ranking(List)");
        });
  }

  /**
   * The latents that fired at all, ranked by any scores; of equals the lower number first.
   *
   * @param scores one for each latent
   * @throws IllegalArgumentException if there are not as many scores as latents
   */
  public List<Integer> ranking(List<Double> scores) {
    if (scores.size() != frequency.size()) {
      throw new IllegalArgumentException(
          "expected a score for each of %d latents, got %d; give them all"
              .formatted(frequency.size(), scores.size()));
    }
    return IntStream.range(0, scores.size())
        .filter(latent -> frequency.get(latent) > 0)
        .boxed()
        .sorted(Comparator.comparingDouble((Integer latent) -> -scores.get(latent)))
        .toList();
  }
}
