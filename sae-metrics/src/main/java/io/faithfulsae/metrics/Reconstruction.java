package io.faithfulsae.metrics;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * How well an SAE reconstructs activations X {@code [rows, dIn]} as X̂. A source without rows is
 * rejected, so there is always input.
 *
 * <p><b>Source</b>: the first explained variance is that of FaithfulSAE's cross-data script; FVU is
 * sparsify's, and 1 − FVU is the explained variance of sparsify and SAELens.
 *
 * @param source description of the rows, including the filter applied to them
 * @param rows number of rows
 * @param dSae number of latents
 * @param k active latents per row, of a batch's rows on average for BatchTopK; null where
 *     activations decide, as with ReLU and JumpReLU
 * @param activation which latents fire, such as {@code JumpReLU}; null for TopK
 * @param meanNorm mean ‖x‖, the scale of the activations
 * @param l2 mean over all elements of (x − x̂)², in squared units of the activations, at least 0
 * @param l2Ratio mean over rows of ‖x̂‖ / ‖x‖; rows with ‖x‖ = 0 are excluded (0 if all are)
 * @param cosine mean over rows of cos(x, x̂), in [-1, 1]; rows with ‖x‖ = 0 are excluded (0 if all
 *     are); a row with x̂ = 0 counts as 0
 * @param scalarExplainedVariance 1 − var(X − X̂) / var(X) with one variance over all elements, at
 *     most 1; the authors' form, which credits the SAE with the differences between column means
 * @param fvu fraction of variance unexplained, Σ‖x − x̂‖² / Σ‖x − mean(X)‖² with the mean of each
 *     column over all rows, at least 0. If X does not vary at all, both forms treat 0 / 0 as 0
 *     unexplained and anything else / 0 as infinity
 * @param explainedVariance 1 − fvu, at most 1
 * @param explainedVarianceInterval its 95 % studentized bootstrap interval from 10,000 resamples of
 *     {@code blocks}, with the column means held fixed (which changes it by less than 1 / blocks)
 * @param l0 mean over rows of the number of latents that fire (z ≠ 0), in [0, dSae]; for TopK in
 *     [0, k]
 * @param deadLatents latents that fired on no row; not informative for few rows
 * @param deadShare deadLatents / dSae, in [0, 1]
 * @param logDensity log10 of the share of rows on which a latent fired, over the latents that fired
 *     at least once; 60 bins over [-6, 0]
 * @param blocks the terms of the variance in at most 64 blocks of consecutive rows, all of one size
 *     except perhaps the last. Rows of one sequence depend on each other, and a large block keeps
 *     most sequences whole. With up to 64 rows, each row is a block
 */
public record Reconstruction(
    String source,
    long rows,
    int dSae,
    @Nullable Integer k,
    @Nullable String activation,
    double meanNorm,
    double l2,
    double l2Ratio,
    double cosine,
    double scalarExplainedVariance,
    double fvu,
    double explainedVariance,
    BootstrapInterval explainedVarianceInterval,
    double l0,
    int deadLatents,
    double deadShare,
    Histogram logDensity,
    List<Block> blocks) {

  /** Copies the list. */
  public Reconstruction {
    blocks = List.copyOf(blocks);
  }

  /**
   * A block of consecutive rows.
   *
   * @param rows number of rows
   * @param squaredError Σ‖x − x̂‖²
   * @param variance Σ‖x − mean(X)‖², with the mean over all rows
   */
  public record Block(long rows, double squaredError, double variance) {}
}
