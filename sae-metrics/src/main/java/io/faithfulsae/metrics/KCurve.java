package io.faithfulsae.metrics;

import io.faithfulsae.io.Expected;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * One SAE evaluated at values of k other than the one it was trained with: how reconstruction, the
 * cost to the model and the response to noise change with the number of active latents per row.
 *
 * <p>Only k changes: TopK keeps the k largest of ReLU(z_pre). With a larger k a row may have fewer
 * than k positive values, so l0 stays below k. BatchTopK keeps the k · rows largest of each batch,
 * also where it has a threshold, which belongs to its own k.
 *
 * @param ownK the k used in training
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
   * @param k active latents per row
   * @param reconstruction of activations
   * @param crossEntropy of the model with the reconstruction in place
   * @param fakeFeatures latents that fire on noise; null unless requested
   */
  public record Point(
      int k,
      Reconstruction reconstruction,
      CrossEntropy crossEntropy,
      @Nullable FakeFeatures fakeFeatures) {}

  /**
   * What to measure.
   *
   * @param ks distinct values of k, 1 to dSae; the study uses multiples of the SAE's own k, up to 4
   *     times
   * @param batchSequences sequences per forward pass
   * @param rows maximum number of rows for the reconstruction
   * @param ceTokens predicted tokens for the cross entropy, as in {@code Metrics.crossEntropy}
   * @param fakeFeatures how to count latents that fire on noise; empty to skip this
   */
  public record Options(
      List<Integer> ks,
      int batchSequences,
      long rows,
      long ceTokens,
      Optional<FakeFeatures.Options> fakeFeatures) {

    /**
     * The defaults of the command line: 32 sequences per forward pass, 100,000 rows, 20,000 tokens,
     * no fake features.
     *
     * @throws IllegalArgumentException if there is no k, one is below 1, or one is repeated
     */
    public static Options of(List<Integer> ks) {
      return new Options(ks, 32, 100_000, 20_000, Optional.empty());
    }

    /**
     * Checks the values of k.
     *
     * @throws IllegalArgumentException if there is none, one is below 1, or one is repeated
     */
    public Options {
      ks = List.copyOf(ks);
      if (ks.isEmpty()
          || ks.stream().anyMatch(k -> k < 1)
          || ks.stream().distinct().count() < ks.size()) {
        throw new IllegalArgumentException(
            Expected.message("one or more distinct k >= 1", ks, "correct the list"));
      }
    }
  }
}
