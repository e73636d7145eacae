package io.faithfulsae.spi;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonUnwrapped;

/**
 * What one training step computes: the loss, the dead-latent term, the optimizer and constraints on
 * the weights. Where other libraries differ, each choice is an option here.
 *
 * <p>In JSON, all values are at the same level, named after the methods of {@link Options}.
 *
 * <p><b>Source</b>: FaithfulSAE (arXiv 2506.17673) and BatchTopK's training.py for the defaults.
 *
 * @param loss reconstruction term
 * @param aux the dead-latent term
 * @param dead which latents are dead
 * @param adam the optimizer
 * @param weights which weights are trained, and their constraints
 */
public record StepConfig(
    Loss loss,
    @JsonUnwrapped Auxiliary aux,
    @JsonUnwrapped Dead dead,
    @JsonUnwrapped Adam adam,
    @JsonUnwrapped Weights weights) {

  /** The reconstruction term; e = x̂ − x over a batch of B rows. */
  public enum Loss {
    /** Mean over all elements of e² (the study, BatchTopK). */
    MEAN,
    /** Sum over d_in, mean over rows (SAELens, dictionary_learning). */
    SUM_MEAN,
    /** Σ e² / Σ (x − batch mean)² (sparsify). */
    FVU
  }

  /** Scale of the dead-latent term; r = z_aux W_dec − (x − x̂). */
  public enum AuxNorm {
    /** Mean over all elements of r² (the study). */
    MEAN,
    /** Sum over d_in, mean over rows (SAELens). */
    SUM_MEAN,
    /** Σ r² / Σ (x − batch mean)² (sparsify). */
    TARGET_VARIANCE,
    /** Σ r² / Σ (u − batch mean of u)², u = x − x̂ (dictionary_learning). */
    RESIDUAL_VARIANCE
  }

  /** When decoder rows are scaled to unit norm. */
  public enum DecoderNorm {
    /** Never. */
    NONE,
    /**
     * After backward and before Adam's step (the study: saved rows are off unit norm by one step).
     */
    BEFORE_STEP,
    /** After Adam's step. */
    AFTER_STEP
  }

  /**
   * The dead-latent term: dead latents reconstruct the residual of the others.
   *
   * @param coefficient its weight; 0 turns it off
   * @param k largest number of dead latents per row
   * @param norm how it is scaled
   * @param detach whether the residual is treated as a constant (in the study's code gradients flow
   *     through it)
   * @param scaleByDead whether it is multiplied by min(1, dead / k)
   */
  public record Auxiliary(
      @JsonProperty("auxCoefficient") double coefficient,
      @JsonProperty("auxK") int k,
      @JsonProperty("auxNorm") AuxNorm norm,
      @JsonProperty("auxDetach") boolean detach,
      @JsonProperty("auxScaleByDead") boolean scaleByDead) {
    /**
     * Checks the ranges.
     *
     * @throws IllegalArgumentException naming the option, the expected range and the value
     */
    public Auxiliary {
      BackendChecks.setting(k >= 1, "auxK >= 1", k);
      BackendChecks.setting(
          coefficient >= 0 && Double.isFinite(coefficient),
          "a finite auxCoefficient >= 0",
          coefficient);
    }
  }

  /**
   * When a latent is dead: if either rule applies.
   *
   * @param afterBatches batches without firing, including the current one; 0 turns the rule off
   * @param afterRows rows without firing; 0 turns the rule off
   */
  public record Dead(
      @JsonProperty("deadAfterBatches") int afterBatches,
      @JsonProperty("deadAfterRows") long afterRows) {
    /**
     * Checks the ranges.
     *
     * @throws IllegalArgumentException naming the option, the expected range and the value
     */
    public Dead {
      BackendChecks.setting(afterBatches >= 0, "deadAfterBatches >= 0", afterBatches);
      BackendChecks.setting(afterRows >= 0, "deadAfterRows >= 0", afterRows);
    }
  }

  /**
   * The optimizer.
   *
   * @param beta1 decay of the first moment
   * @param beta2 decay of the second moment
   * @param eps added to the square root of the second moment
   * @param clipNorm bound on the global gradient norm; 0 turns clipping off
   */
  public record Adam(double beta1, double beta2, double eps, double clipNorm) {
    /**
     * Checks the ranges.
     *
     * @throws IllegalArgumentException naming the option, the expected range and the value
     */
    public Adam {
      BackendChecks.setting(beta1 >= 0 && beta1 < 1, "beta1 in [0, 1)", beta1);
      BackendChecks.setting(beta2 >= 0 && beta2 < 1, "beta2 in [0, 1)", beta2);
      BackendChecks.setting(eps > 0 && Double.isFinite(eps), "a finite eps > 0", eps);
      BackendChecks.setting(
          clipNorm >= 0 && Double.isFinite(clipNorm), "a finite clipNorm >= 0", clipNorm);
    }
  }

  /**
   * Which weights are trained, and their constraints.
   *
   * @param decoderNorm when decoder rows are scaled to unit norm
   * @param projectGradient whether the part of the decoder gradient parallel to its row is removed
   * @param trainEncoderBias whether b_enc is trained (the study's TopK leaves it at zero)
   * @param freezeDecoder whether W_dec is fixed, so that only the encoder and b_dec are trained
   */
  public record Weights(
      DecoderNorm decoderNorm,
      boolean projectGradient,
      boolean trainEncoderBias,
      boolean freezeDecoder) {}

  /** A builder with the study's values. */
  public static Builder builder() {
    return new Builder();
  }

  /** A builder with these values. */
  public Builder toBuilder() {
    return builder().step(this);
  }

  /** Collects values; {@link #build()} checks them. */
  public static final class Builder extends Options<Builder> {
    private Builder() {}

    @Override
    protected Builder self() {
      return this;
    }

    /**
     * Builds the configuration.
     *
     * @throws IllegalArgumentException if a value is out of range
     */
    public StepConfig build() {
      return buildStep();
    }
  }

  /**
   * The options of a step, for every builder that has them; each method returns the builder.
   *
   * @param <B> the builder
   */
  public abstract static class Options<B extends Options<B>> {
    private Loss loss = Loss.MEAN;
    private double auxCoefficient = 1.0 / 32;
    private int auxK = 512;
    private AuxNorm auxNorm = AuxNorm.MEAN;
    private boolean auxDetach;
    private boolean auxScaleByDead;
    private int deadAfterBatches = 5;
    private long deadAfterRows;
    private double beta1 = 0.9;
    private double beta2 = 0.99;
    private double eps = 1e-8;
    private double clipNorm = 1e5;
    private DecoderNorm decoderNorm = DecoderNorm.BEFORE_STEP;
    private boolean projectGradient = true;
    private boolean trainEncoderBias;
    private boolean freezeDecoder;

    /** Starts with the study's values. */
    protected Options() {}

    /** The builder itself. */
    protected abstract B self();

    /**
     * Builds the step's part of the configuration.
     *
     * @throws IllegalArgumentException if a value is out of range
     */
    protected final StepConfig buildStep() {
      return new StepConfig(
          loss,
          new Auxiliary(auxCoefficient, auxK, auxNorm, auxDetach, auxScaleByDead),
          new Dead(deadAfterBatches, deadAfterRows),
          new Adam(beta1, beta2, eps, clipNorm),
          new Weights(decoderNorm, projectGradient, trainEncoderBias, freezeDecoder));
    }

    /** Sets all options of a step. */
    public B step(StepConfig all) {
      loss = all.loss;
      auxCoefficient = all.aux.coefficient;
      auxK = all.aux.k;
      auxNorm = all.aux.norm;
      auxDetach = all.aux.detach;
      auxScaleByDead = all.aux.scaleByDead;
      deadAfterBatches = all.dead.afterBatches;
      deadAfterRows = all.dead.afterRows;
      beta1 = all.adam.beta1;
      beta2 = all.adam.beta2;
      eps = all.adam.eps;
      clipNorm = all.adam.clipNorm;
      decoderNorm = all.weights.decoderNorm;
      projectGradient = all.weights.projectGradient;
      trainEncoderBias = all.weights.trainEncoderBias;
      freezeDecoder = all.weights.freezeDecoder;
      return self();
    }

    /** Reconstruction term. */
    public B loss(Loss value) {
      loss = value;
      return self();
    }

    /** Weight of the dead-latent term; 0 turns it off. */
    public B auxCoefficient(double value) {
      auxCoefficient = value;
      return self();
    }

    /** Largest number of dead latents per row in the dead-latent term. */
    public B auxK(int value) {
      auxK = value;
      return self();
    }

    /** How the dead-latent term is scaled. */
    public B auxNorm(AuxNorm value) {
      auxNorm = value;
      return self();
    }

    /** Whether the residual in the dead-latent term is treated as a constant. */
    public B auxDetach(boolean value) {
      auxDetach = value;
      return self();
    }

    /** Whether the dead-latent term is multiplied by min(1, dead / auxK). */
    public B auxScaleByDead(boolean value) {
      auxScaleByDead = value;
      return self();
    }

    /**
     * Batches without firing, including the current one, after which a latent is dead; 0 for off.
     */
    public B deadAfterBatches(int value) {
      deadAfterBatches = value;
      return self();
    }

    /** Rows without firing after which a latent is dead; 0 for off. */
    public B deadAfterRows(long value) {
      deadAfterRows = value;
      return self();
    }

    /** Decay of Adam's first moment. */
    public B beta1(double value) {
      beta1 = value;
      return self();
    }

    /** Decay of Adam's second moment. */
    public B beta2(double value) {
      beta2 = value;
      return self();
    }

    /** Adam's eps. */
    public B eps(double value) {
      eps = value;
      return self();
    }

    /** Bound on the global gradient norm; 0 turns clipping off. */
    public B clipNorm(double value) {
      clipNorm = value;
      return self();
    }

    /** When decoder rows are scaled to unit norm. */
    public B decoderNorm(DecoderNorm value) {
      decoderNorm = value;
      return self();
    }

    /** Whether the part of the decoder gradient parallel to its row is removed. */
    public B projectGradient(boolean value) {
      projectGradient = value;
      return self();
    }

    /** Whether b_enc is trained. */
    public B trainEncoderBias(boolean value) {
      trainEncoderBias = value;
      return self();
    }

    /** Whether W_dec is fixed, so that only the encoder and b_dec are trained. */
    public B freezeDecoder(boolean value) {
      freezeDecoder = value;
      return self();
    }
  }
}
