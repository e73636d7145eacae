package io.faithfulsae.spi;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.util.Collections;
import java.util.EnumSet;
import java.util.Set;

/**
 * The tensors of one SAE on a {@link Backend}, and what its encoder subtracts.
 *
 * @param dIn width of the activations that are read
 * @param dOut width of the activations that are written; other than {@code dIn} for a transcoder
 * @param dSae number of latents
 * @param subtractDecoderBias whether {@code b_dec} is subtracted from the input before encoding
 *     ({@code apply_b_dec_to_input})
 * @param tensors the four that every SAE has, and any of {@link Tensor#THRESHOLD}, {@link
 *     Tensor#R_MAG} with {@link Tensor#B_MAG}, and {@link Tensor#W_SKIP}
 */
public record SaeShape(
    int dIn, int dOut, int dSae, boolean subtractDecoderBias, Set<Tensor> tensors) {

  /**
   * Checks the shape.
   *
   * @param tensors only those beyond the usual four need to be named
   * @throws IllegalArgumentException if a size is below 1, or the parts do not go together
   */
  public SaeShape {
    BackendChecks.shape(dIn, dSae);
    Expected.atLeast("d_out", dOut, 1, "give the width of the activations written");
    EnumSet<Tensor> all = EnumSet.copyOf(Tensor.COMMON);
    all.addAll(tensors);
    tensors = Collections.unmodifiableSet(all);
    if (subtractDecoderBias && dIn != dOut) {
      throw new IllegalArgumentException(
          Expected.message(
              "d_out = d_in where b_dec is subtracted from the input",
              "d_in = " + dIn + ", d_out = " + dOut,
              "do not subtract it in a transcoder"));
    }
    if (all.contains(Tensor.R_MAG) != all.contains(Tensor.B_MAG)
        || (all.contains(Tensor.R_MAG) && all.contains(Tensor.THRESHOLD))) {
      throw new IllegalArgumentException(
          Expected.message(
              "R_MAG and B_MAG together (gated), or THRESHOLD",
              all,
              "name those of one activation"));
    }
  }

  /** The shape of a TopK SAE. */
  public static SaeShape of(int dIn, int dSae, boolean subtractDecoderBias) {
    return new SaeShape(dIn, dIn, dSae, subtractDecoderBias, Tensor.COMMON);
  }

  /** Whether a tensor is among its own. */
  public boolean has(Tensor tensor) {
    return tensors.contains(tensor);
  }

  /** Elements of a tensor, whether it has it or not. */
  public long elements(Tensor tensor) {
    return switch (tensor) {
      case W_ENC -> (long) dIn * dSae;
      case W_DEC -> (long) dOut * dSae;
      case B_ENC, THRESHOLD, R_MAG, B_MAG -> dSae;
      case B_DEC -> dOut;
      case W_SKIP -> (long) dOut * dIn;
    };
  }
}
