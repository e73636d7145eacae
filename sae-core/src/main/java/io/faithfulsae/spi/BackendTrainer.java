package io.faithfulsae.spi;

import java.nio.ByteBuffer;

/**
 * Optimiser state of one SAE on a backend, and the training step, whole or in parts. <b>Closed
 * by</b> who made it.
 *
 * <p>A step in parts is {@link #accumulate} for each part of the batch, then {@link #apply}. Parts
 * may be computed by several trainers on several backends: {@link #add} brings their sums together,
 * {@link #copy} gives parameters back. What is accumulated between two updates is no part of the
 * state: checkpoints are taken between steps.
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

  /** Whether a trainer keeps gradients, which {@link #accumulate} adds to. */
  enum Gradients {
    /** It keeps none: whole steps alone. */
    NONE,
    /** Four bytes a parameter more: steps, whole or in parts. */
    KEPT,
    /**
     * Gradients and no moments: parts for another trainer's update. {@link #step}, {@link #apply}
     * and the moments' states are refused.
     */
    ONLY
  }

  /**
   * What one step saw, before its update. Of a step in parts: losses are means weighted by rows,
   * {@code fvu} is over the variance about each part's own mean.
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

  /**
   * Forward and backward on a part of a step's batch; nothing changes but what is accumulated. The
   * part's losses are over its own rows, ratios over its own variance. A latent counts as dead in
   * it when it has not fired in this step up to this part included, and would be dead if the batch
   * ended here. May return before the device is done.
   *
   * @param x rows {@code [first, first + rows)} of it, {@code [.., dIn]} float32. Not modified; may
   *     be reused after {@link #stats()} or {@link Backend#synchronize()}.
   * @throws IllegalArgumentException if this keeps no gradients, or a row holds NaN or infinity
   *     (the message has its number within the part; a device may say so from {@link #stats()}):
   *     all that is accumulated is dropped, and nothing was updated
   */
  void accumulate(DeviceBuffer x, int first, int rows);

  /**
   * The update of a step from the mean, weighted by rows, of all gradients since the last one. The
   * batch counts as one of all the rows. With a loss that is a mean over rows and no auxiliary loss
   * that is the step on the whole batch, up to rounding.
   *
   * @param lr learning rate of this step
   * @throws IllegalArgumentException if nothing is accumulated, or this has no moments
   */
  void apply(double lr);

  /**
   * Adds what another trainer has accumulated, as if this had done so, and clears it there. Waits
   * for nothing.
   *
   * @param from of the same shape and configuration, on this backend or another of its kind
   * @throws IllegalArgumentException if it differs, or has nothing accumulated
   */
  void add(BackendTrainer from);

  /**
   * Takes over another trainer's parameters and idle counters; not its moments. Waits for nothing.
   *
   * @param from of the same shape and configuration, on this backend or another of its kind
   * @throws IllegalArgumentException if it differs, or this has something accumulated
   */
  void copy(BackendTrainer from);

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
