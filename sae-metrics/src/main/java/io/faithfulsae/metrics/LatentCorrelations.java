package io.faithfulsae.metrics;

import io.faithfulsae.io.Expected;
import java.util.List;

/**
 * Which latents of two SAEs (a and b, or one SAE with itself) behave alike on the same rows:
 * Pearson correlation of their z over all rows, and for some latents the partners themselves.
 *
 * <p>Partners are latents that fire together on at least one row; within one SAE a latent is not
 * its own partner. A latent is alive when it fires on at least one row; other latents are excluded
 * from shares, means and histograms, and a live latent without a partner has best correlation 0.
 *
 * <p>The best correlation across seeds is the functional counterpart of the Shared Feature Ratio:
 * two latents may behave alike with different directions. <b>Source</b>: Bricken et al. 2023,
 * Towards Monosemanticity (feature universality by activation correlation).
 *
 * @param source description of the rows
 * @param rows number of rows
 * @param dSaeA number of latents of a
 * @param dSaeB number of latents of b
 * @param liveA latents of a that fire
 * @param liveB latents of b that fire
 * @param threshold correlation above which two latents behave alike
 * @param shareAboveA share of a's live latents whose best correlation in b is above the threshold
 * @param shareAboveB the same for b's in a
 * @param meanBestA mean best correlation of a's live latents
 * @param meanBestB mean best correlation of b's live latents
 * @param bestA best correlations of a's live latents; 100 bins over [-1, 1]
 * @param bestB best correlations of b's live latents; 100 bins over [-1, 1]
 * @param latents partners of the requested latents of a, in the order of the request
 */
public record LatentCorrelations(
    String source,
    long rows,
    int dSaeA,
    int dSaeB,
    int liveA,
    int liveB,
    double threshold,
    double shareAboveA,
    double shareAboveB,
    double meanBestA,
    double meanBestB,
    Histogram bestA,
    Histogram bestB,
    List<OfLatent> latents) {

  /** Copies the list. */
  public LatentCorrelations {
    latents = List.copyOf(latents);
  }

  /**
   * Partners of one latent of a.
   *
   * @param latent its number in a
   * @param correlated latents of b whose z correlates most with its own, largest first, ties by
   *     number
   * @param nearest latents of b whose decoder directions have the largest cosine with its own
   */
  public record OfLatent(
      int latent, List<Partner> correlated, List<LatentDescription.Other> nearest) {
    /** Copies the lists. */
    public OfLatent {
      correlated = List.copyOf(correlated);
      nearest = List.copyOf(nearest);
    }
  }

  /**
   * A latent of b.
   *
   * @param latent its number in b
   * @param correlation Pearson's, of z over all rows
   * @param jaccard rows on which both fire, over rows on which at least one does
   * @param cosine of the two decoder directions; 0 if one has length 0
   */
  public record Partner(int latent, double correlation, double jaccard, double cosine) {}

  /**
   * How much to read and to keep.
   *
   * @param maxRows maximum number of rows; every active latent of every row is kept in memory, 8
   *     bytes each
   * @param threshold correlation above which two latents behave alike
   * @param latents latents of a whose partners are listed
   * @param others number of partners to keep for each
   */
  public record Options(long maxRows, double threshold, List<Integer> latents, int others) {
    /** 100,000 rows and a threshold of 0.7; no latents are listed. */
    public static Options defaults() {
      return new Options(100_000, 0.7, List.of(), 0);
    }

    /**
     * Checks the numbers.
     *
     * @throws IllegalArgumentException if one is out of range
     */
    public Options {
      latents = List.copyOf(latents);
      if (!(threshold >= -1 && threshold <= 1)) {
        throw new IllegalArgumentException(
            Expected.message("threshold in [-1, 1]", threshold, "give a correlation, such as 0.7"));
      }
      Expected.atLeast("others", others, 0, "0 keeps none");
    }
  }
}
