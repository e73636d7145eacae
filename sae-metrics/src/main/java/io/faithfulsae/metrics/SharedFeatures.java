package io.faithfulsae.metrics;

import io.faithfulsae.metrics.internal.GroupDifference;
import io.faithfulsae.metrics.internal.GroupDifference.Share;
import io.faithfulsae.metrics.internal.ShareInterval;
import java.util.List;
import java.util.function.LongConsumer;

/**
 * Which latents two SAEs, a and b, share: the cosines S[i][j] between the directions of a's latent
 * i and b's latent j, summarized by best partner and by best one-to-one matching.
 *
 * <p>A pair is shared when its cosine is strictly above the threshold. A direction of length 0 has
 * cosine 0 with everything. Every SAE has at least one latent, so there is always input. The SAEs
 * may differ in the number of latents; some latents of the larger one then stay unmatched.
 *
 * <p><b>Source</b>: FaithfulSAE's feature matching (top-1 ratio and SFR, decoder rows, 0.7); Paulo
 * and Belrose, arXiv 2501.16615.
 *
 * @param directions the directions compared
 * @param threshold cosine above which a pair is shared
 * @param dSaeA number of latents of a
 * @param dSaeB number of latents of b
 * @param topOneA share of a's latents whose best cosine in b is above the threshold, in [0, 1]
 * @param topOneB share of b's latents whose best cosine in a is above the threshold, in [0, 1]
 * @param matched Shared Feature Ratio: share of the pairs whose cosine is above the threshold, in
 *     the one-to-one assignment that maximizes Σ S (exact), in [0, 1]
 * @param matchedPairs number of pairs in that assignment, min(dSaeA, dSaeB)
 * @param meanTopOneA mean best cosine of a's latents
 * @param meanTopOneB mean best cosine of b's latents
 * @param meanMatched mean cosine of the matched pairs
 * @param topOneCosinesA best cosines of a's latents; 100 bins over [-1, 1]
 * @param topOneCosinesB best cosines of b's latents; 100 bins over [-1, 1]
 * @param matchedCosines cosines of the matched pairs; 100 bins over [-1, 1]
 * @param ranksA cosines of a's latents with their best to fourth-best partners in b (fewer if b has
 *     fewer latents): they show whether the best partner stands out or has close rivals
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
   * The Shared Feature Ratio with Wilson's interval, which treats the matched pairs as a sample
   * from the pairs that this kind of training produces. A closed formula; no seed is involved.
   *
   * @param level coverage, such as 0.95
   * @throws IllegalArgumentException if the level is out of range
   */
  public BootstrapInterval matchedInterval(double level) {
    return ShareInterval.wilson(matched, matchedPairs, 0, level, 0);
  }

  /**
   * Compares the Shared Feature Ratio of this pair of SAEs with that of another pair (this minus
   * other), such as the seeds of two data sets. Matched pairs of latents are resampled; the
   * interval is normal, with the standard deviation of the resampled differences.
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
   * @param directions the directions to compare
   * @param threshold cosine above which a pair is shared, in [-1, 1]; 0.7 in the study
   * @param onMatched called occasionally with the number of latents of the smaller SAE matched so
   *     far; an exception thrown by it ends the search
   */
  public record Options(Directions directions, double threshold, LongConsumer onMatched) {

    /** Creates options without a listener. */
    public Options(Directions directions, double threshold) {
      this(directions, threshold, matched -> {});
    }

    /** The study's options: decoder directions, threshold 0.7. */
    public static Options defaults() {
      return decoder(0.7);
    }

    /** Compares decoder directions with the given threshold. */
    public static Options decoder(double threshold) {
      return new Options(Directions.DECODER, threshold);
    }
  }

  /**
   * The partners of one rank, such as all second-best partners.
   *
   * @param shareAbove share of the latents whose partner of this rank is above the threshold
   * @param mean mean cosine
   * @param cosines all of them; 100 bins over [-1, 1]
   */
  public record Rank(double shareAbove, double mean, Histogram cosines) {}

  /**
   * A stricter Shared Feature Ratio: latents of two SAEs are matched one to one by decoder
   * directions and again by encoder directions, each with the largest sum of cosines; a pair counts
   * when it is in both matchings.
   *
   * <p><b>Source</b>: Paulo and Belrose, arXiv 2501.16615.
   *
   * @param threshold cosine that a shared pair must exceed in both matchings
   * @param pairs number of pairs in a matching, the smaller of the two numbers of latents
   * @param agreeing share of the pairs that are in both matchings, in [0, 1]
   * @param sharedByBoth share of the pairs that are in both matchings with both cosines above the
   *     threshold, in [0, 1]; never above the Shared Feature Ratio
   */
  public record Agreement(double threshold, int pairs, double agreeing, double sharedByBoth) {}

  /**
   * Neurons of two SAEs compared: a neuron is an element of the residual stream, and its vector is
   * what all latents write to it (a column of W_dec) or read from it (a row of W_enc), of length
   * dSae.
   *
   * <p>The authors plot these along with the features. The latents of two seeds come in different
   * orders and, as in the authors' code, are not aligned: the cosines measure agreement latent by
   * latent, which two seeds do not have.
   *
   * <p><b>Source</b>: FaithfulSAE's {@code feat_match.py} (encoder and decoder neurons, top 4).
   *
   * @param directions DECODER for W_dec, ENCODER for W_enc
   * @param dIn number of neurons; by decoder directions d_out, which only in a transcoder differs
   * @param ranksA cosines of a's neurons with their best to fourth-best partners in b (fewer if
   *     there are fewer neurons)
   * @param ranksB the same for b's neurons in a
   */
  public record Neurons(Directions directions, int dIn, List<Rank> ranksA, List<Rank> ranksB) {

    /** Copies the lists. */
    public Neurons {
      ranksA = List.copyOf(ranksA);
      ranksB = List.copyOf(ranksB);
    }
  }

  /** Which of a latent's directions are compared. */
  public enum Directions {
    /** Rows of W_dec: what a latent writes. The definition of the Shared Feature Ratio. */
    DECODER,
    /** Columns of W_enc: what a latent reads. */
    ENCODER
  }

  /**
   * Heap needed to compare two SAEs, mostly for the matrix of cosines, in bytes.
   *
   * @param dSaeA number of latents of one SAE
   * @param dSaeB number of latents of the other
   */
  public static long bytesNeeded(int dSaeA, int dSaeB) {
    int rows = Math.min(dSaeA, dSaeB);
    int columns = Math.max(dSaeA, dSaeB);
    // Each row is an array of its own, with a header of 16 bytes.
    return rows * (columns * (long) Float.BYTES + 16) + Assignment.bytesNeeded(rows, columns);
  }
}
