package io.faithfulsae.spi;

import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.EnumSet;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Optimizer state of one SAE on a backend, and the training step, whole or in parts. <b>Closed
 * by</b> whoever created it.
 *
 * <p>A step in parts calls {@link #accumulate} for each part of the batch, then {@link #apply}.
 * Parts may be computed by several trainers on several backends: {@link #add} combines their sums,
 * and {@link #copy} distributes the updated parameters. Gradients accumulated between two updates
 * are not part of the state: write checkpoints between steps.
 */
public interface BackendTrainer extends AutoCloseable {

  /**
   * The tensors of the optimizer, for checkpoints. Ordinals match {@code SAE_STATE_*} in sae_abi.h.
   */
  enum State {
    /** First moments, float32, with the parameter's shape. */
    M_W_ENC,
    M_B_ENC,
    M_W_DEC,
    M_B_DEC,
    /** Second moments, float32, with the parameter's shape. */
    V_W_ENC,
    V_B_ENC,
    V_W_DEC,
    V_B_DEC,
    /** Batches since the latent last fired, int64 {@code [dSae]}. */
    IDLE_BATCHES,
    /** Rows since the batch in which the latent last fired, int64 {@code [dSae]}. */
    IDLE_ROWS,
    /** Steps completed, int64 {@code [1]}. */
    STEPS,
    /**
     * The threshold learned for encoding without a batch, float64 {@code [1]}, with {@link
     * Selection.Rule#BATCH_TOP_K}; below 0 while there is none.
     */
    LEARNED_THRESHOLD,
    /** Moments of trained thresholds, float32 {@code [dSae]}: JumpReLU. */
    M_THRESHOLD,
    V_THRESHOLD,
    /** Moments of a gated SAE's magnitudes, float32 {@code [dSae]}. */
    M_R_MAG,
    V_R_MAG,
    M_B_MAG,
    V_B_MAG,
    /** Moments of a skip connection, float32 {@code [dOut, dIn]}. */
    M_W_SKIP,
    V_W_SKIP,
    /**
     * Of {@link StepConfig.Optimizer#SIGNUM}, whose first moments are its iterate: the sum of the
     * averages' weights and the largest learning rate so far, float64 {@code [2]}.
     */
    AVERAGING;

    /** The states that a trainer has for an SAE of this shape. */
    public static Set<State> of(
        Selection selection, SaeShape shape, StepConfig.Optimizer optimizer) {
      Set<State> states = EnumSet.range(M_W_ENC, STEPS);
      if (selection.rule() == Selection.Rule.BATCH_TOP_K) {
        states.add(LEARNED_THRESHOLD);
      } else if (selection.rule() == Selection.Rule.THRESHOLD
          && shape.has(BackendSae.Tensor.THRESHOLD)) {
        states.add(M_THRESHOLD);
        states.add(V_THRESHOLD);
      }
      if (shape.has(BackendSae.Tensor.R_MAG)) {
        states.addAll(EnumSet.range(M_R_MAG, V_B_MAG));
      }
      if (shape.has(BackendSae.Tensor.W_SKIP)) {
        states.add(M_W_SKIP);
        states.add(V_W_SKIP);
      }
      if (optimizer == StepConfig.Optimizer.SIGNUM) {
        states.removeIf(State::isSecondMoment);
        states.add(AVERAGING);
      } else if (optimizer == StepConfig.Optimizer.MUON) {
        states.removeAll(EnumSet.of(V_W_ENC, V_W_DEC, V_W_SKIP));
      }
      return Collections.unmodifiableSet(states);
    }

    private boolean isSecondMoment() {
      return name().startsWith("V_");
    }
  }

  /** Whether a trainer keeps gradients, which {@link #accumulate} adds to. */
  enum Gradients {
    /** None: whole steps only. */
    NONE,
    /** Kept, at four more bytes per parameter: steps, whole or in parts. */
    KEPT,
    /**
     * Gradients without moments: parts for another trainer's update. {@link #step}, {@link #apply}
     * and access to the moments fail.
     */
    ONLY
  }

  /**
   * Statistics of one step, before its update. For a step in parts, losses are means weighted by
   * rows, and {@code fvu} uses the variance about each part's own mean.
   *
   * @param steps steps so far, including this one
   * @param loss total loss
   * @param reconstruction reconstruction term of the loss
   * @param aux auxiliary term, including its coefficient
   * @param sparsity sparsity term, including its coefficient
   * @param l0 mean number of active latents per row
   * @param dead number of dead latents, after this batch
   * @param fvu fraction of variance unexplained of this batch
   * @param gradientNorm global L2 norm before clipping; 0 when clipping is off
   * @param listed candidates that the encoder listed to choose from, mean per row; 0 if it keeps no
   *     lists
   * @param overflowed rows whose list of candidates was too short; they were encoded again from all
   *     latents, which is correct but slow
   */
  record StepStats(
      long steps,
      double loss,
      double reconstruction,
      double aux,
      double sparsity,
      double l0,
      long dead,
      double fvu,
      double gradientNorm,
      double listed,
      long overflowed) {

    /** Without a sparsity term, for an encoder that keeps no lists. */
    public StepStats(
        long steps,
        double loss,
        double reconstruction,
        double aux,
        double l0,
        long dead,
        double fvu,
        double gradientNorm) {
      this(steps, loss, reconstruction, aux, 0, l0, dead, fvu, gradientNorm, 0, 0);
    }
  }

  /**
   * Runs one training step of an SAE, whose rows are their own target; otherwise like {@link
   * #step(DeviceBuffer, DeviceBuffer, int, double)}.
   */
  default void step(DeviceBuffer x, int rows, double lr) {
    step(x, null, rows, lr);
  }

  /**
   * Runs one training step. May return before the device has finished; {@link #stats()} waits.
   *
   * @param x <b>Shape</b> {@code [rows, dIn]} float32. Not modified; may be reused after {@link
   *     #stats()} or {@link Backend#synchronize()}.
   * @param y what a transcoder should write, {@code [rows, dOut]} float32, likewise; null: {@code
   *     x}
   * @param lr learning rate of this step
   * @throws IllegalArgumentException if a row contains NaN or infinity (the message names it);
   *     nothing is updated
   * @throws BackendUnavailableException if there is a target and this backend trains no transcoders
   */
  void step(DeviceBuffer x, @Nullable DeviceBuffer y, int rows, double lr);

  /**
   * Accumulates a part of an SAE's batch, whose rows are their own target; otherwise like {@link
   * #accumulate(DeviceBuffer, DeviceBuffer, int, int)}.
   */
  default void accumulate(DeviceBuffer x, int first, int rows) {
    accumulate(x, null, first, rows);
  }

  /**
   * Runs the forward and backward pass on a part of a step's batch and adds to the accumulated
   * gradients; changes nothing else. Losses are over the part's own rows, ratios over its own
   * variance. A latent counts as dead in the part if it has not fired in this step so far, this
   * part included, and would be dead if the batch ended here. May return before the device has
   * finished.
   *
   * @param x rows {@code [first, first + rows)} of it, {@code [.., dIn]} float32. Not modified; may
   *     be reused after {@link #stats()} or {@link Backend#synchronize()}.
   * @param y the same rows of the target, {@code [.., dOut]} float32, likewise; null: {@code x}
   * @throws IllegalArgumentException if this trainer keeps no gradients, or a row contains NaN or
   *     infinity (the message gives its index within the part; a device may throw it from {@link
   *     #stats()} instead). All accumulated gradients are then discarded, and nothing is updated
   */
  void accumulate(DeviceBuffer x, @Nullable DeviceBuffer y, int first, int rows);

  /**
   * Updates the parameters with the mean, weighted by rows, of all gradients since the last update.
   * All those rows count as one batch. For a loss that is a mean over rows, and without auxiliary
   * loss, this equals the step on the whole batch up to rounding.
   *
   * @param lr learning rate of this step
   * @throws IllegalArgumentException if nothing is accumulated, or this trainer has no moments
   */
  void apply(double lr);

  /**
   * Moves the gradients that another trainer has accumulated into this one. Does not wait.
   *
   * @param from has the same shape and configuration, on this backend or another of its kind
   * @throws IllegalArgumentException if it does not, or has nothing accumulated
   */
  void add(BackendTrainer from);

  /**
   * Copies another trainer's parameters, idle counters and number of steps, but not its moments.
   * Does not wait.
   *
   * @param from has the same shape and configuration, on this backend or another of its kind
   * @throws IllegalArgumentException if it does not, or this trainer has accumulated gradients
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
