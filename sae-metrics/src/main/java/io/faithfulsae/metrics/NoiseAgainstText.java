package io.faithfulsae.metrics;

import java.util.List;

/**
 * Compares noise with text: how often each latent is active (z ≠ 0) on noise and how often in
 * distribution. There is no threshold on z, so the result does not depend on the scale of the
 * activations; and a latent that is active everywhere does not count, unlike with a threshold on
 * noise alone.
 *
 * <p>A latent counts as <em>more active on noise</em> when all of these hold: the adjusted p-value
 * of its test is at most the false discovery rate; it tends to be active on a larger share of a
 * noise sequence than of a text sequence ({@code sequenceAuc} &gt; 0.5); and its {@code ratio} is
 * at least the minimum. <em>More active on text</em> is the converse, with 1 / ratio.
 *
 * <p>The test is a two-sided Mann-Whitney test, corrected for ties and continuity, on the share of
 * a sequence's rows on which the latent is active: tokens of one sequence depend on each other, so
 * the sequence is the unit. Shares are binned into 0 and 120 steps of 7 % each, from 2⁻¹² up;
 * shares in one bin count as ties, which keeps the test valid. p-values are adjusted over all
 * latents of the SAE (p = 1 for those that are never active) with the method of Benjamini and
 * Hochberg (1995), which also holds for positively dependent tests (Benjamini and Yekutieli, 2001).
 *
 * <p><b>Source</b>: our own. The authors' two definitions of a fake feature look at noise alone.
 *
 * @param dSae number of latents
 * @param falseDiscoveryRate bound on the expected share of false positives among the latents
 *     counted
 * @param minimumRatio smallest effect that counts
 * @param moreOnNoise latents that are more active on noise, as defined above
 * @param shareMoreOnNoise moreOnNoise / dSae, in [0, 1]: the headline number
 * @param moreOnText latents that are more active on text
 * @param shareMoreOnText moreOnText / dSae
 * @param different latents whose test is significant, whatever the direction and the size of the
 *     effect
 * @param neverActive latents that are active on no row of either
 * @param meanNoiseRate mean over latents of the noise rate, L0 on noise / dSae
 * @param meanTextRate the same for text
 * @param medianAuc median over the latents that are active on at least one row; 0.5 if there are
 *     none
 * @param logRatios log2 of the ratio, over the latents that are active on at least one row; 48 bins
 *     over [-12, 12]
 * @param latents one entry per latent, by number; after {@link #counted}, only those more active on
 *     noise
 */
public record NoiseAgainstText(
    int dSae,
    double falseDiscoveryRate,
    double minimumRatio,
    int moreOnNoise,
    double shareMoreOnNoise,
    int moreOnText,
    double shareMoreOnText,
    int different,
    int neverActive,
    double meanNoiseRate,
    double meanTextRate,
    double medianAuc,
    Histogram logRatios,
    List<OfLatent> latents) {

  /** Copies the list. */
  public NoiseAgainstText {
    latents = List.copyOf(latents);
  }

  /** Which way a latent counts. */
  public enum Verdict {
    /** More active on noise. */
    NOISE,
    /** More active on text. */
    TEXT,
    /** Not significantly different, or by less than the minimum effect. */
    NEITHER
  }

  /**
   * One latent.
   *
   * @param latent its number
   * @param noiseRate share of the noise's rows on which z ≠ 0
   * @param textRate share of the text's rows on which z ≠ 0
   * @param difference noiseRate − textRate
   * @param ratio ratio of the rates, with half a firing and one row added to each side to keep it
   *     finite: ((noise firings + ½) / (noise rows + 1)) / ((text firings + ½) / (text rows + 1))
   * @param auc probability that z is larger on a row of noise than on a row of text, ties counting
   *     half; over all rows, including those with z = 0, computed exactly
   * @param sequenceAuc the same for a sequence's share of active rows, binned as in the test
   * @param pValue p-value of the test
   * @param adjustedPValue the same, adjusted over all latents
   * @param verdict which way it counts
   */
  public record OfLatent(
      int latent,
      double noiseRate,
      double textRate,
      double difference,
      double ratio,
      double auc,
      double sequenceAuc,
      double pValue,
      double adjustedPValue,
      Verdict verdict) {}

  /**
   * Returns a copy that keeps only the latents that are more active on noise, as stored in a
   * study's results.
   */
  public NoiseAgainstText counted() {
    return new NoiseAgainstText(
        dSae,
        falseDiscoveryRate,
        minimumRatio,
        moreOnNoise,
        shareMoreOnNoise,
        moreOnText,
        shareMoreOnText,
        different,
        neverActive,
        meanNoiseRate,
        meanTextRate,
        medianAuc,
        logRatios,
        latents.stream().filter(latent -> latent.verdict() == Verdict.NOISE).toList());
  }
}
