package io.faithfulsae.spi;

import java.nio.FloatBuffer;

/**
 * The parameters of one SAE on a {@link Backend}, and the operations on them.
 *
 * <p>Rows of activations are float32 {@code [rows, dIn]}, row-major. <b>Closed by</b> whoever
 * created it.
 */
public interface BackendSae extends AutoCloseable {

  /**
   * The float32 tensors of an SAE as backends store them; ordinals match {@code SAE_W_ENC}… in
   * sae_abi.h.
   */
  enum Tensor {
    /**
     * {@code [dSae, dIn]}: row j is latent j's encoder direction (the transpose of the usual {@code
     * W_enc}).
     */
    W_ENC,
    /** {@code [dSae]}. */
    B_ENC,
    /** {@code [dSae, dIn]}: row j is latent j's decoder direction. */
    W_DEC,
    /** {@code [dIn]}. */
    B_DEC
  }

  /** Width of the activations. */
  int dIn();

  /** Number of latents. */
  int dSae();

  /**
   * Writes elements {@code [first, first + from.remaining())} of a tensor. {@code from} must be a
   * direct buffer in native order; its position does not change.
   */
  void write(Tensor tensor, long first, FloatBuffer from);

  /**
   * Reads elements {@code [first, first + into.remaining())} of a tensor into a direct buffer;
   * waits for pending operations.
   */
  void read(Tensor tensor, long first, FloatBuffer into);

  /**
   * Encodes rows: the k largest of {@code ReLU((x - b_dec) W_enc + b_enc)}.
   *
   * <p><b>Order and ties</b>: by value, descending, then by latent index, ascending. A row with
   * fewer than k positive pre-activations is padded with value 0 at the lowest unused latent
   * indices.
   *
   * @param x <b>Shape</b> {@code [rows, dIn]} float32. Not modified.
   * @param indices <b>Shape</b> {@code [rows, k]} int32. Modified.
   * @param values <b>Shape</b> {@code [rows, k]} float32. Modified.
   * @throws IllegalArgumentException if k is not in [1, dSae], a buffer is too small or passed
   *     twice, or a row of {@code x} contains NaN or infinity (the message names the row)
   */
  void encodeTopK(DeviceBuffer x, int rows, int k, DeviceBuffer indices, DeviceBuffer values);

  /**
   * Decodes rows: {@code x̂ = Σ_j values_j W_dec[indices_j] + b_dec}.
   *
   * @param out <b>Shape</b> {@code [rows, dIn]} float32. Modified.
   */
  void decode(DeviceBuffer indices, DeviceBuffer values, int rows, int k, DeviceBuffer out);

  /**
   * Creates a trainer for these parameters with new optimizer state, for whole steps. <b>Closed
   * by</b> the caller, before this.
   *
   * @param k active latents per row
   * @param config the loss, the auxiliary loss and the optimizer
   */
  default BackendTrainer trainer(int k, StepConfig config) {
    return trainer(k, config, BackendTrainer.Gradients.NONE);
  }

  /**
   * Creates a trainer that can also compute steps in parts, or only parts.
   *
   * @param gradients which gradients are kept between calls
   */
  BackendTrainer trainer(int k, StepConfig config, BackendTrainer.Gradients gradients);

  @Override
  void close();
}
