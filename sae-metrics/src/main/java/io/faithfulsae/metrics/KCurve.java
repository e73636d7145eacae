package io.faithfulsae.metrics;

import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * One SAE evaluated with other k than it was trained with: how reconstruction, the cost to the
 * model and the answer to noise move with the number of active latents a row.
 *
 * <p>Nothing but k changes: the k largest of ReLU(z_pre) are kept, whatever k the SAE was trained
 * with. With a larger k a row may have fewer than k positive ones, so that l0 stays below k.
 *
 * @param ownK the k that the SAE was trained with
 * @param points in the order of {@link Options#ks}
 */
public record KCurve(int ownK, List<Point> points) {

  /** Copies the list. */
  public KCurve {
    points = List.copyOf(points);
  }

  /**
   * The SAE with one k.
   *
   * @param k active latents a row
   * @param reconstruction of activations
   * @param crossEntropy of the model with the reconstruction in place
   * @param fakeFeatures latents that answer to noise; null unless asked for
   */
  public record Point(
      int k,
      Reconstruction reconstruction,
      CrossEntropy crossEntropy,
      @Nullable FakeFeatures fakeFeatures) {}

  /**
   * What to measure.
   *
   * @param ks different values of k, 1 to dSae; the study's are 1 to 4 times the SAE's own
   * @param batchSequences sequences of a forward pass
   * @param rows rows for the reconstruction, at most
   * @param ceTokens predicted tokens for the cross entropy, as {@code Metrics.crossEntropy} has it
   * @param fakeFeatures how to count what answers to noise; empty: it is not counted
   */
  public record Options(
      List<Integer> ks,
      int batchSequences,
      long rows,
      long ceTokens,
      Optional<FakeFeatures.Options> fakeFeatures) {

    /**
     * As the command line measures: 32 sequences per forward pass, 100,000 rows, 20,000 tokens, no
     * fake features.
     *
     * @throws IllegalArgumentException if there is no k, one is below 1 or one stands there twice
     */
    public static Options of(List<Integer> ks) {
      return new Options(ks, 32, 100_000, 20_000, Optional.empty());
    }

    /**
     * Checks k.
     *
     * @throws IllegalArgumentException if there is none, one is below 1 or one stands there twice
     */
    public Options {
      ks = List.copyOf(ks);
      if (ks.isEmpty()
          || ks.stream().anyMatch(k -> k < 1)
          || ks.stream().distinct().count() < ks.size()) {
        throw new IllegalArgumentException(
            "expected different values of k from 1 on, got " + ks + "; correct them");
      }
    }
  }
}
