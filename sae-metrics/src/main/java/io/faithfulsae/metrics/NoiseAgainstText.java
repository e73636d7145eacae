package io.faithfulsae.metrics;

import java.util.List;

/**
 * What separates noise from text: how often each latent is active (z &gt; 0) on noise against how
 * often it is in distribution. It needs no threshold on z, so that it does not depend on the scale
 * of the activations; and a latent that is active everywhere is not counted, as it is by a
 * threshold on noise alone.
 *
 * <p>A latent counts as <em>more on noise</em> when all of these hold: its test's adjusted p-value
 * is at most the false discovery rate; it is active in more of a noise sequence than of a text
 * sequence ({@code sequenceAuc} &gt; 0.5); and its {@code ratio} is at least the minimum. <em>More
 * on text</em> is the same the other way round, with 1 / ratio.
 *
 * <p>The test is Mann-Whitney's, two-sided, with ties and continuity corrected, of the share of a
 * sequence's rows on which the latent is active: tokens of one sequence depend on each other, so
 * the sequence is the unit. Shares are told apart in 120 steps of 7 % each, from 2⁻¹² up, and 0;
 * what lies in one step is tied, which leaves the test valid. p-values are adjusted over all
 * latents of the SAE, those that are never active with p = 1, after Benjamini and Hochberg (1995),
 * which holds for positively dependent tests as well (Benjamini and Yekutieli, 2001).
 *
 * <p><b>Source</b>: ours. The authors' two definitions of a fake feature look at noise alone.
 *
 * @param dSae number of latents
 * @param falseDiscoveryRate the share of the latents counted that may be counted wrongly, on
 *     average
 * @param minimumRatio least effect that counts
 * @param moreOnNoise latents that are more active on noise, as above
 * @param shareMoreOnNoise moreOnNoise / dSae, in [0, 1]: the headline
 * @param moreOnText latents that are more active on text
 * @param shareMoreOnText moreOnText / dSae
 * @param different latents whose test is significant, whatever the direction and the effect
 * @param neverActive latents that are active on no row of either
 * @param meanNoiseRate mean over latents of the noise rate, L0 on noise / dSae
 * @param meanTextRate the same of text
 * @param medianAuc median over the latents that are active on some row; 0.5 if there are none
 * @param logRatios log2 of the ratio, over the latents that are active on some row; 48 bins over
 *     [-12, 12]
 * @param latents one for each latent, by number; of {@link #counted} those that count alone
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
   * @param noiseRate share of the noise's rows on which z &gt; 0
   * @param textRate share of the text's rows on which z &gt; 0
   * @param difference noiseRate − textRate
   * @param ratio of the rates, with half a firing and one row added to each side, so that it is
   *     finite: ((noise firings + ½) / (noise rows + 1)) / ((text firings + ½) / (text rows + 1))
   * @param auc probability that z is larger on a row of noise than on one of text, ties half; over
   *     all rows, those with z = 0 too, computed exactly
   * @param sequenceAuc the same of a sequence's share of active rows, as the test sees it
   * @param pValue of the test
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
   * The same with no latents but those that are more active on noise: as a study's results keep it.
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
