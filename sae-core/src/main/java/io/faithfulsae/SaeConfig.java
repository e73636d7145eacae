package io.faithfulsae;

import io.faithfulsae.Activation.TopK;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.SaeShape;
import java.util.EnumSet;
import java.util.Locale;
import java.util.Set;

/**
 * The shape of an SAE, its activation, and how it treats its input.
 *
 * @param dIn width of the activations it reads
 * @param dOut width of those it writes: {@code dIn}, or that of another hook for a transcoder
 * @param dSae number of latents
 * @param activation which latents fire, with which values
 * @param subtractDecoderBias whether {@code b_dec} is subtracted from the input before encoding
 *     (SAELens: {@code apply_b_dec_to_input}); not in a transcoder
 * @param normalization how each row is normalized before encoding; undone after decoding
 * @param skip whether {@code x W_skipᵀ} is added to what is decoded (skip transcoders)
 */
public record SaeConfig(
    int dIn,
    int dOut,
    int dSae,
    Activation activation,
    boolean subtractDecoderBias,
    Normalization normalization,
    boolean skip) {

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
   * Checks the parts against each other.
   *
   * @throws IllegalArgumentException if a size is below 1, k exceeds dSae or does not divide it for
   *     groups, or a transcoder subtracts {@code b_dec} or normalizes rows of another width
   */
  public SaeConfig {
    new SaeShape(dIn, dOut, dSae, subtractDecoderBias, activation.tensors());
    activation.selection().check(dSae);
    if (dIn != dOut && normalization != Normalization.NONE) {
      throw new IllegalArgumentException(
          Expected.message(
              "d_out = d_in where rows are normalized",
              "d_in = " + dIn + ", d_out = " + dOut,
              "do not normalize in a transcoder"));
    }
  }

  /** An SAE that reads and writes the same activations. */
  public SaeConfig(
      int dIn,
      int dSae,
      Activation activation,
      boolean subtractDecoderBias,
      Normalization normalization) {
    this(dIn, dIn, dSae, activation, subtractDecoderBias, normalization, false);
  }

  /** The configuration that the study uses. */
  public static SaeConfig topK(int dIn, int dSae, int k) {
    return new SaeConfig(dIn, dSae, new TopK(k), true, Normalization.NONE);
  }

  /**
   * Active latents per row, of a batch's rows on average for BatchTopK.
   *
   * @throws IllegalStateException if the activation has none
   */
  public int k() {
    return activation
        .latentsPerRow()
        .orElseThrow(
            () ->
                new IllegalStateException(
                    Expected.message(
                        "an SAE with a k", activation.label(), "ask its activation what it has")));
  }

  /** The sizes and tensors of its parameters. */
  public SaeShape shape() {
    Set<Tensor> tensors = EnumSet.copyOf(Tensor.COMMON);
    tensors.addAll(activation.tensors());
    if (skip) {
      tensors.add(Tensor.W_SKIP);
    }
    return new SaeShape(dIn, dOut, dSae, subtractDecoderBias, tensors);
  }

  /**
   * A copy with another k.
   *
   * @throws IllegalStateException if the activation has none
   */
  public SaeConfig withK(int newK) {
    return withActivation(activation.withK(newK));
  }

  /** A copy with another activation. */
  public SaeConfig withActivation(Activation other) {
    return new SaeConfig(dIn, dOut, dSae, other, subtractDecoderBias, normalization, skip);
  }

  /** A copy with another input normalization. */
  public SaeConfig withNormalization(Normalization other) {
    return new SaeConfig(dIn, dOut, dSae, activation, subtractDecoderBias, other, skip);
  }
}
