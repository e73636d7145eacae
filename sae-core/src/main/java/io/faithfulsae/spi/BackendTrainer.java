package io.faithfulsae.spi;

import java.nio.ByteBuffer;

/**
 * Optimiser state of one SAE on a backend, and the fused training step. <b>Closed by</b> who made
 * it.
 */
public interface BackendTrainer extends AutoCloseable {

  /**
   * The tensors of the optimiser, for checkpoints. Ordinals are those of {@code SAE_STATE_*} in
   * sae_abi.h.
   */
  enum State {
    /** First moments, float32, shaped as the parameter. */
    M_W_ENC,
    M_B_ENC,
    M_W_DEC,
    M_B_DEC,
    /** Second moments, float32, shaped as the parameter. */
    V_W_ENC,
    V_B_ENC,
    V_W_DEC,
    V_B_DEC,
    /** Batches since the latent last fired, int64 {@code [dSae]}. */
    IDLE_BATCHES,
    /** Rows since the batch in which the latent last fired, int64 {@code [dSae]}. */
    IDLE_ROWS,
    /** Steps done, int64 {@code [1]}. */
    STEPS
  }

  /**
   * What one step saw, before its update.
   *
   * @param steps steps done so far, this one counted
   * @param loss total loss
   * @param reconstruction reconstruction term of the loss
   * @param aux auxiliary term, coefficient included
   * @param l0 mean over rows of the number of latents that fired
   * @param dead dead latents, this batch counted
   * @param fvu fraction of variance unexplained of this batch
   * @param gradientNorm global L2 norm before clipping; 0 when clipping is off
   */
  record StepStats(
      long steps,
      double loss,
      double reconstruction,
      double aux,
      double l0,
      long dead,
      double fvu,
      double gradientNorm) {}

  /**
   * One training step. May return before the device is done; {@link #stats()} waits.
   *
   * @param x <b>Shape</b> {@code [rows, dIn]} float32. Not modified; may be reused after {@link
   *     #stats()} or {@link Backend#synchronize()}.
   * @param lr learning rate of this step
   * @throws IllegalArgumentException if a row holds NaN or infinity (the message names it); nothing
   *     was updated
   */
  void step(DeviceBuffer x, int rows, double lr);

  /** Statistics of the last step; waits for it. */
  StepStats stats();

  /**
   * Writes elements of a state tensor from a direct buffer in native order, {@code first} in
   * elements.
   */
  void write(State state, long first, ByteBuffer from);

  /**
   * Reads elements of a state tensor into a direct buffer in native order, {@code first} in
   * elements.
   */
  void read(State state, long first, ByteBuffer into);

  @Override
  void close();
}
