package io.faithfulsae.spi;

import io.faithfulsae.io.Expected;

/**
 * Which latents an encoder keeps, where z_pre are a row's pre-activations and p = ReLU(z_pre).
 *
 * @param rule how they are chosen
 * @param k latents per row (of a batch: on average); 0 where the rule has none
 */
public record Selection(Rule rule, int k) {

  /** How latents are chosen; ordinals match {@code SAE_TOPK}… in sae_abi.h. */
  public enum Rule {
    /** The k largest p of a row. */
    TOP_K,
    /** The k largest |z_pre| of a row, with their signs. */
    ABS_TOP_K,
    /** The largest p of each of k groups of dSae / k consecutive latents. */
    GROUP_MAX,
    /** The k · rows largest p of all rows together; rows are ragged. */
    BATCH_TOP_K,
    /**
     * p where z_pre is above the latent's {@link BackendSae.Tensor#THRESHOLD} (0 without), or the
     * gated value where z_pre is above 0; rows are ragged.
     */
    THRESHOLD;

    /** Whether rows differ in their number of latents. */
    public boolean isRagged() {
      return this == BATCH_TOP_K || this == THRESHOLD;
    }
  }

  /** The k largest p of a row. */
  public static Selection topK(int k) {
    return new Selection(Rule.TOP_K, k);
  }

  /**
   * Checks it against a number of latents.
   *
   * @throws IllegalArgumentException if k is not in [1, dSae], or does not divide dSae for groups
   */
  public void check(int dSae) {
    if (rule == Rule.THRESHOLD) {
      return;
    }
    BackendChecks.k(k, dSae);
    if (rule == Rule.GROUP_MAX && dSae % k != 0) {
      throw new IllegalArgumentException(
          Expected.message("k that divides d_sae = " + dSae, "k = " + k, "use equal groups"));
    }
  }
}
