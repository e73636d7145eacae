package io.faithfulsae;

import io.faithfulsae.spi.BackendChecks;
import java.util.Locale;

/**
 * The shape of a TopK SAE and how it treats its input.
 *
 * @param dIn width of the activations
 * @param dSae number of latents
 * @param k active latents per row
 * @param subtractDecoderBias whether {@code b_dec} is subtracted from the input before encoding
 *     (SAELens: {@code apply_b_dec_to_input})
 * @param normalization how each row is normalized before encoding; undone after decoding
 */
public record SaeConfig(
    int dIn, int dSae, int k, boolean subtractDecoderBias, Normalization normalization) {

  /** How each row x is normalized before it is encoded. */
  public enum Normalization {
    /** Nothing. */
    NONE,
    /** x · sqrt(dIn) / ‖x‖, undone after decoding (SAELens: {@code constant_norm_rescale}). */
    CONSTANT_NORM_RESCALE,
    /**
     * (x − mean) / (s + 1e-5) with the row's mean and unbiased standard deviation s, undone after
     * decoding as x̂ · s + mean (BatchTopK: {@code input_unit_norm}; SAELens: {@code layer_norm},
     * the same formula).
     */
    UNIT_NORM;

    /** The name in {@code cfg.json}. */
    public String id() {
      return this == UNIT_NORM ? "layer_norm" : name().toLowerCase(Locale.ROOT);
    }
  }

  /**
   * Checks the shape.
   *
   * @throws IllegalArgumentException if a size is below 1 or k exceeds dSae
   */
  public SaeConfig {
    BackendChecks.shape(dIn, dSae);
    BackendChecks.k(k, dSae);
  }

  /** The configuration that the study uses. */
  public static SaeConfig topK(int dIn, int dSae, int k) {
    return new SaeConfig(dIn, dSae, k, true, Normalization.NONE);
  }

  /** A copy with another k. */
  public SaeConfig withK(int newK) {
    return new SaeConfig(dIn, dSae, newK, subtractDecoderBias, normalization);
  }

  /** A copy with another input normalization. */
  public SaeConfig withNormalization(Normalization other) {
    return new SaeConfig(dIn, dSae, k, subtractDecoderBias, other);
  }
}
