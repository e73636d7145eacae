package io.faithfulsae.metrics;

import java.util.List;

/**
 * How well an SAE recovers known features. S[i][f] is the cosine between W_dec's row of latent i
 * and the true direction of feature f (0 for a direction of length 0).
 *
 * <p>A latent's <i>own feature</i> is the f with the largest |S[i][f]|, the lower f on ties. As a
 * classifier, the latent predicts "f fires in this row" where z ≠ 0, which is correct where f's
 * coefficient is above 0: tp, fp, fn and tn count rows. A quotient 0 / 0 is 0, so that a dead
 * latent has precision, recall and F1 of 0.
 *
 * <p>There are always latents, features and rows, so no input is empty. <b>Source</b>: SAELens'
 * {@code sae_lens.synthetic.evals} for the matching, the classification and their names, which
 * cites: mean correlation coefficient from arXiv 2505.20254; mean max cosine from Sharkey, Braun
 * and Millidge (2022). SAELens' shrinkage, explained variance, L0 and dead latents are {@code
 * l2Ratio}, {@code explainedVariance}, {@code l0} and {@code deadLatents} of {@link
 * #reconstruction}.
 *
 * @param threshold cosine above which (strictly) a latent stands for a feature
 * @param features number of true features
 * @param dSae number of latents
 * @param recovered share of features for which some latent's S is above the threshold, in [0, 1]
 * @param noiseShare share of latents without any S above the threshold: noise features, in [0, 1]
 * @param meanMaxCosine mean over features of the largest S of any latent, in [-1, 1]
 * @param meanMaxCosineOfLatents mean over latents of the largest S with any feature, in [-1, 1]
 * @param meanCorrelation mean correlation coefficient: mean |S| over the min(dSae, features) pairs
 *     of the one-to-one matching with the largest Σ |S| (exact), in [0, 1]
 * @param uniqueness number of distinct features that are some latent's own feature, over dSae, in
 *     (0, 1]
 * @param precision mean over latents of tp / (tp + fp), in [0, 1]
 * @param recall mean over latents of tp / (tp + fn), in [0, 1]
 * @param f1 mean over latents of 2 · precision · recall / (precision + recall), in [0, 1]
 * @param accuracy mean over latents of (tp + tn) / rows, in [0, 1]
 * @param trueL0 mean number of features that fire in a row
 * @param reconstruction the SAE on the same rows
 * @param latents the latents, in order of their number
 */
public record GroundTruth(
    double threshold,
    int features,
    int dSae,
    double recovered,
    double noiseShare,
    double meanMaxCosine,
    double meanMaxCosineOfLatents,
    double meanCorrelation,
    double uniqueness,
    double precision,
    double recall,
    double f1,
    double accuracy,
    double trueL0,
    Reconstruction reconstruction,
    List<Latent> latents) {

  /** Copies the list. */
  public GroundTruth {
    latents = List.copyOf(latents);
  }

  /**
   * A latent and its own feature.
   *
   * @param feature its own feature
   * @param cosine S of the two, with its sign
   * @param precision tp / (tp + fp)
   * @param recall tp / (tp + fn)
   * @param f1 2 · precision · recall / (precision + recall)
   * @param accuracy (tp + tn) / rows
   */
  public record Latent(
      int feature, double cosine, double precision, double recall, double f1, double accuracy) {}
}
