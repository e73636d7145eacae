package io.faithfulsae.spi;

import java.nio.FloatBuffer;
import java.util.Collections;
import java.util.EnumSet;
import java.util.Set;
import org.jspecify.annotations.Nullable;

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
    /** {@code [dSae, dOut]}: row j is latent j's decoder direction. */
    W_DEC,
    /** {@code [dOut]}. */
    B_DEC,
    /** {@code [dSae]}: a latent fires where its pre-activation is above it (JumpReLU). */
    THRESHOLD,
    /**
     * {@code [dSae]}: log of the factor between a gated latent's pre-activation and its magnitude.
     */
    R_MAG,
    /** {@code [dSae]}: bias of a gated latent's magnitude; its {@code b_enc} is the gate's bias. */
    B_MAG,
    /** {@code [dOut, dIn]}: what a skip transcoder adds, {@code x W_skipᵀ}. */
    W_SKIP;

    /** Those that every SAE has. */
    public static final Set<Tensor> COMMON =
        Collections.unmodifiableSet(EnumSet.range(W_ENC, B_DEC));
  }

  /** Its sizes and tensors. */
  SaeShape shape();

  /** Width of the activations. */
  default int dIn() {
    return shape().dIn();
  }

  /** Number of latents. */
  default int dSae() {
    return shape().dSae();
  }

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
   * Encodes rows: of the pre-activations {@code (x - b_dec) W_enc + b_enc} what a selection keeps.
   *
   * <p><b>Order and ties</b>: rows of k latents by |value|, descending, then by latent index,
   * ascending; a row with fewer than k values other than 0 is padded with value 0 at the lowest
   * unused latent indices. Ragged rows by latent index; none of their values is 0.
   *
   * @param x <b>Shape</b> {@code [rows, dIn]} float32. Not modified.
   * @param into rows of the selection's k, or ragged. Modified.
   * @return the number of entries, rows · k if the selection has a k per row. If it is more than
   *     {@code into} has room for, {@code into} holds nothing of use.
   * @throws IllegalArgumentException if the selection does not suit the SAE, a buffer is too small
   *     or passed twice, a row of {@code x} contains NaN or infinity (the message names the row),
   *     or there are more than 2^31 - 1 entries
   * @throws BackendUnavailableException if the backend lacks the selection's rule
   */
  long encode(Selection selection, DeviceBuffer x, int rows, LatentBuffers into);

  /** Encodes rows with {@link Selection#topK}. */
  default void encodeTopK(
      DeviceBuffer x, int rows, int k, DeviceBuffer indices, DeviceBuffer values) {
    encode(Selection.topK(k), x, rows, LatentBuffers.ofK(indices, values, k));
  }

  /**
   * Decodes rows: {@code x̂ = Σ_j values_j W_dec[indices_j] + b_dec + x W_skipᵀ}.
   *
   * @param latents not modified
   * @param x the rows that were encoded, where the SAE has {@link Tensor#W_SKIP}; otherwise null
   * @param out <b>Shape</b> {@code [rows, dOut]} float32. Modified.
   * @throws IllegalArgumentException if an index is not in [0, dSae) (the message names the row),
   *     offsets descend or leave the buffers, a buffer is too small or passed twice, or {@code x}
   *     is missing or superfluous
   */
  void decode(LatentBuffers latents, int rows, @Nullable DeviceBuffer x, DeviceBuffer out);

  /** Decodes rows of k latents. */
  default void decode(
      DeviceBuffer indices, DeviceBuffer values, int rows, int k, DeviceBuffer out) {
    decode(LatentBuffers.ofK(indices, values, k), rows, null, out);
  }

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

  /** Creates a trainer of {@link Selection#topK} that can also compute steps in parts. */
  default BackendTrainer trainer(int k, StepConfig config, BackendTrainer.Gradients gradients) {
    return trainer(Selection.topK(k), config, gradients);
  }

  /**
   * Creates a trainer that can also compute steps in parts, or only parts.
   *
   * @param selection what the forward pass keeps
   * @param gradients which gradients are kept between calls
   * @throws IllegalArgumentException if the selection does not suit this SAE's tensors
   * @throws BackendUnavailableException if this backend cannot train such an SAE, or an option is
   *     not available for it
   */
  BackendTrainer trainer(
      Selection selection, StepConfig config, BackendTrainer.Gradients gradients);

  @Override
  void close();
}
