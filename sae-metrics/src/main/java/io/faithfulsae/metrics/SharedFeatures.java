package io.faithfulsae.metrics;

import io.faithfulsae.metrics.internal.GroupDifference;
import io.faithfulsae.metrics.internal.GroupDifference.Share;
import io.faithfulsae.metrics.internal.ShareInterval;
import java.util.List;
import java.util.function.LongConsumer;

/**
 * Which latents two SAEs share: the cosines S[i][j] between the directions of latent i of one (a)
 * and latent j of the other (b), by the best partner of each and by the best one-to-one matching.
 *
 * <p>A pair is shared when its cosine is strictly above the threshold. A direction of length 0 has
 * cosine 0 with everything. Every SAE has at least one latent, so no input is empty. SAEs may have
 * different numbers of latents: the matching then leaves out some of the larger one.
 *
 * <p><b>Source</b>: FaithfulSAE's feature matching (top-1 ratio and SFR, decoder rows, 0.7); Paulo
 * and Belrose, arXiv 2501.16615.
 *
 * @param directions whose cosines they are
 * @param threshold cosine above which a pair is shared
 * @param dSaeA number of latents of a
 * @param dSaeB number of latents of b
 * @param topOneA share of a's latents whose best cosine in b is above the threshold, in [0, 1]
 * @param topOneB share of b's latents whose best cosine in a is above the threshold, in [0, 1]
 * @param matched Shared Feature Ratio: share of the pairs of the assignment that maximises Σ S
 *     (exact) above the threshold, in [0, 1]
 * @param matchedPairs pairs of that assignment, min(dSaeA, dSaeB)
 * @param meanTopOneA mean best cosine of a's latents
 * @param meanTopOneB mean best cosine of b's latents
 * @param meanMatched mean cosine of the matched pairs
 * @param topOneCosinesA best cosines of a's latents; 100 bins over [-1, 1]
 * @param topOneCosinesB best cosines of b's latents; 100 bins over [-1, 1]
 * @param matchedCosines cosines of the matched pairs; 100 bins over [-1, 1]
 * @param ranksA cosines of a's latents with their best, second, third and fourth partner in b, as
 *     far as b has so many latents: is the best one alone, or one of several that are alike?
 * @param ranksB the same for b's latents in a
 */
public record SharedFeatures(
    Directions directions,
    double threshold,
    int dSaeA,
    int dSaeB,
    double topOneA,
    double topOneB,
    double matched,
    int matchedPairs,
    double meanTopOneA,
    double meanTopOneB,
    double meanMatched,
    Histogram topOneCosinesA,
    Histogram topOneCosinesB,
    Histogram matchedCosines,
    List<Rank> ranksA,
    List<Rank> ranksB) {

  /** Copies the lists. */
  public SharedFeatures {
    ranksA = List.copyOf(ranksA);
    ranksB = List.copyOf(ranksB);
  }

  /**
   * The Shared Feature Ratio with Wilson's interval, which takes matched pairs of latents for a
   * sample of those that such training gives; the same formula whatever the seed.
   *
   * @param level coverage, such as 0.95
   * @throws IllegalArgumentException if the level is out of range
   */
  public BootstrapInterval matchedInterval(double level) {
    return ShareInterval.wilson(matched, matchedPairs, 0, level, 0);
  }

  /**
   * Compares this pair of SAEs with another, such as the seeds of two data sets, by the Shared
   * Feature Ratio: this one's minus the other's. Matched pairs of latents are resampled; the
   * interval is a normal one with the spread of the resampled differences.
   *
   * @throws IllegalArgumentException if a number is out of range
   */
  public BootstrapInterval.Difference matchedDifference(
      SharedFeatures other, int resamples, double level, long seed) {
    return GroupDifference.ofShares(
        new Share(matched, matchedPairs),
        new Share(other.matched, other.matchedPairs),
        resamples,
        level,
        seed);
  }

  /**
   * How to compare.
   *
   * @param directions whose cosines are taken
   * @param threshold cosine above which a pair is shared, in [-1, 1]; 0.7 in the study
   * @param onMatched called from time to time with the number of latents of the smaller SAE that
   *     are matched; an exception thrown by it ends the search
   */
  public record Options(Directions directions, double threshold, LongConsumer onMatched) {

    /** Without a listener. */
    public Options(Directions directions, double threshold) {
      this(directions, threshold, matched -> {});
    }

    /** As the study compares: by decoder directions above 0.7. */
    public static Options defaults() {
      return decoder(0.7);
    }

    /** By decoder directions, above a threshold. */
    public static Options decoder(double threshold) {
      return new Options(Directions.DECODER, threshold);
    }
  }

  /**
   * The partners of one rank.
   *
   * @param shareAbove share of the latents whose partner of this rank is above the threshold
   * @param mean mean cosine
   * @param cosines all of them; 100 bins over [-1, 1]
   */
  public record Rank(double shareAbove, double mean, Histogram cosines) {}

  /**
   * A stricter Shared Feature Ratio: latents of two SAEs are matched one to one by decoder
   * directions and again by encoder directions, each with the largest sum of cosines; a pair counts
   * when both matchings have it.
   *
   * <p><b>Source</b>: Paulo and Belrose, arXiv 2501.16615.
   *
   * @param threshold cosine that a shared pair exceeds, in both matchings
   * @param pairs pairs of a matching, the smaller number of latents
   * @param agreeing share of the pairs that both matchings have, in [0, 1]
   * @param sharedByBoth share of the pairs that both matchings have and whose cosines both exceed
   *     the threshold, in [0, 1]; never above the Shared Feature Ratio
   */
  public record Agreement(double threshold, int pairs, double agreeing, double sharedByBoth) {}

  /**
   * Neurons of two SAEs compared: a neuron is an element of the residual stream, and its vector is
   * what all latents write to it (a column of W_dec) or read from it (a row of W_enc), of length
   * dSae.
   *
   * <p>The authors' plots show these beside the features'. The latents of two seeds come in
   * different orders, and, as in the authors' code, they are not aligned: the cosines say how far
   * two SAEs agree latent by latent, which two seeds do not.
   *
   * <p><b>Source</b>: FaithfulSAE's {@code feat_match.py} (encoder and decoder neurons, top 4).
   *
   * @param directions W_dec or W_enc
   * @param dIn number of neurons
   * @param ranksA cosines of a's neurons with their best, second, third and fourth in b, as far as
   *     there are so many
   * @param ranksB the same for b's neurons in a
   */
  public record Neurons(Directions directions, int dIn, List<Rank> ranksA, List<Rank> ranksB) {

    /** Copies the lists. */
    public Neurons {
      ranksA = List.copyOf(ranksA);
      ranksB = List.copyOf(ranksB);
    }
  }

  /** The directions of a latent that are compared. */
  public enum Directions {
    /** Rows of W_dec: what a latent writes. The definition of the Shared Feature Ratio. */
    DECODER,
    /** Columns of W_enc: what a latent reads. */
    ENCODER
  }

  /**
   * Heap that comparing two SAEs needs for the matrix of cosines, in bytes.
   *
   * @param dSaeA number of latents of one
   * @param dSaeB number of latents of the other
   */
  public static long bytesNeeded(int dSaeA, int dSaeB) {
    int rows = Math.min(dSaeA, dSaeB);
    int columns = Math.max(dSaeA, dSaeB);
    // Each row is an array of its own, with a header of 16 bytes.
    return rows * (columns * (long) Float.BYTES + 16) + Assignment.bytesNeeded(rows, columns);
  }
}
