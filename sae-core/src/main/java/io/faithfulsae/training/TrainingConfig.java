package io.faithfulsae.training;

/**
 * Everything that decides a training run but the SAE's shape and the data. {@link #faithfulSae()}
 * has the values of the study; change single ones with {@link #toBuilder()}. Where libraries of the
 * field differ, each choice is one value here and one preset sets them all.
 *
 * <p><b>Source</b>: FaithfulSAE (arXiv 2506.17673) and BatchTopK's training.py for the defaults.
 *
 * @param tokens rows of activations to train on; steps = floor(tokens / batch)
 * @param batch rows per step
 * @param accumulate equal parts in which a batch is computed, one after the other, before the one
 *     update; 1: whole. For batches that do not fit at once: with more parts the gradients take 4
 *     bytes a parameter. The auxiliary loss, and losses over a variance, are each part's own.
 * @param lr peak learning rate
 * @param seed decides initial weights and shuffling, and nothing else does
 * @param warmupSteps steps over which lr rises linearly from 0
 * @param decaySteps last steps over which lr falls linearly to 0
 * @param loss reconstruction term
 * @param auxCoefficient weight of the dead-latent term; 0 turns it off
 * @param auxK most dead latents a row in the dead-latent term
 * @param auxNorm how the dead-latent term is scaled
 * @param auxDetach whether the residual in the dead-latent term is a constant (the study's code
 *     lets the gradient through)
 * @param auxScaleByDead whether the term is multiplied by min(1, dead / auxK)
 * @param deadAfterBatches a latent is dead that did not fire for so many batches, this one counted;
 *     0 turns the rule off
 * @param deadAfterRows a latent is dead that did not fire for so many rows; 0 turns the rule off
 * @param beta1 Adam
 * @param beta2 Adam
 * @param eps Adam
 * @param clipNorm bound on the global gradient norm; 0 turns clipping off
 * @param decoderNorm when decoder rows are scaled to unit norm
 * @param projectGradient whether the part of the decoder gradient parallel to its row is taken out
 * @param trainEncoderBias whether b_enc is trained (the study's TopK leaves it at zero)
 * @param freezeDecoder whether W_dec stays as it is and the encoder alone (with b_dec) is trained;
 *     give the directions with {@link SaeTrainer#withInitial}. With scaleActivations, the saved
 *     W_dec is divided by the scale.
 * @param encoderInit initial W_enc; W_dec starts as its transpose with unit rows
 * @param decoderBiasInit initial b_dec
 * @param scaleActivations whether activations are multiplied by one constant so that the mean norm
 *     is sqrt(d_in); folded into the weights when saved
 * @param bufferRows rows of the shuffle buffer, at least batch
 * @param checkpointSteps steps between checkpoints; 0: on cancel only
 */
public record TrainingConfig(
    long tokens,
    int batch,
    int accumulate,
    double lr,
    long seed,
    long warmupSteps,
    long decaySteps,
    Loss loss,
    double auxCoefficient,
    int auxK,
    AuxNorm auxNorm,
    boolean auxDetach,
    boolean auxScaleByDead,
    int deadAfterBatches,
    long deadAfterRows,
    double beta1,
    double beta2,
    double eps,
    double clipNorm,
    DecoderNorm decoderNorm,
    boolean projectGradient,
    boolean trainEncoderBias,
    boolean freezeDecoder,
    EncoderInit encoderInit,
    DecoderBiasInit decoderBiasInit,
    boolean scaleActivations,
    int bufferRows,
    long checkpointSteps) {

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

  /** Initial encoder weights. */
  public enum EncoderInit {
    /** Uniform in ±sqrt(6 / d_sae): torch's kaiming_uniform_ on [d_in, d_sae] (the study). */
    KAIMING_D_SAE,
    /** Uniform in ±1/sqrt(d_in): torch's nn.Linear (sparsify). */
    LINEAR
  }

  /** Initial decoder bias. */
  public enum DecoderBiasInit {
    /** Zero (the study). */
    ZERO,
    /** Mean of the first shuffle buffer, at most 32768 rows of it (sparsify). */
    MEAN,
    /** Geometric median of the same rows (OpenAI, dictionary_learning). */
    GEOMETRIC_MEDIAN
  }

  /**
   * Checks every value.
   *
   * @throws IllegalArgumentException naming the value, what was expected and what came
   */
  public TrainingConfig {
    require(batch >= 1, "batch >= 1", batch);
    require(auxK >= 1, "auxK >= 1", auxK);
    require(bufferRows >= 1, "bufferRows >= 1", bufferRows);
    require(tokens >= batch, "tokens >= batch = " + batch, tokens);
    require(
        accumulate >= 1 && batch % accumulate == 0,
        "accumulate >= 1 that divides batch = " + batch,
        accumulate);
    require(lr > 0 && Double.isFinite(lr), "a finite lr > 0", lr);
    require(warmupSteps >= 0, "warmupSteps >= 0", warmupSteps);
    require(decaySteps >= 0, "decaySteps >= 0", decaySteps);
    require(
        auxCoefficient >= 0 && Double.isFinite(auxCoefficient),
        "a finite auxCoefficient >= 0",
        auxCoefficient);
    require(deadAfterBatches >= 0, "deadAfterBatches >= 0", deadAfterBatches);
    require(deadAfterRows >= 0, "deadAfterRows >= 0", deadAfterRows);
    require(beta1 >= 0 && beta1 < 1, "beta1 in [0, 1)", beta1);
    require(beta2 >= 0 && beta2 < 1, "beta2 in [0, 1)", beta2);
    require(eps > 0 && Double.isFinite(eps), "a finite eps > 0", eps);
    require(clipNorm >= 0 && Double.isFinite(clipNorm), "a finite clipNorm >= 0", clipNorm);
    require(bufferRows >= batch, "bufferRows >= batch = " + batch, bufferRows);
    require(checkpointSteps >= 0, "checkpointSteps >= 0", checkpointSteps);
  }

  private static void require(boolean holds, String expected, Object got) {
    if (!holds) {
      throw new IllegalArgumentException(
          "expected "
              + expected
              + ", got "
              + got
              + "; change that value of the training configuration");
    }
  }

  /** Steps of the run: floor(tokens / batch). */
  public long steps() {
    return tokens / batch;
  }

  /** Learning rate of step {@code step}, counted from 0: warm-up, constant, then decay. */
  public double lrAt(long step) {
    double factor = 1;
    if (step < warmupSteps) {
      factor = (step + 1.0) / warmupSteps;
    }
    long left = steps() - step;
    if (left <= decaySteps) {
      factor = Math.min(factor, (double) left / decaySteps);
    }
    return lr * factor;
  }

  /** The study's values (BatchTopK's trainer in its TopK mode). */
  public static TrainingConfig faithfulSae() {
    return builder().build();
  }

  /**
   * SAELens' TopK trainer. Not expressed: its decoder rows start at norm 0.1 and are free, latents
   * being ranked by activation times row norm; here they are unit rows, scaled after each step.
   *
   * <p><b>Source</b>: SAELens 6, {@code topk_sae.py} and {@code sae_trainer.py}.
   *
   * @param dIn width of the activations, on which its dead-latent term depends
   */
  public static TrainingConfig saeLens(int dIn) {
    return PeerPresets.saeLens(dIn);
  }

  /**
   * dictionary_learning's TopK trainer. Not expressed: it clips after it projects the decoder's
   * gradient (here before), starts the encoder from unit rows, keeps a threshold for inference, and
   * normalises activations to mean square norm 1 only if it is asked to.
   *
   * <p><b>Source</b>: dictionary_learning, {@code trainers/top_k.py}.
   *
   * @param dIn width of the activations, on which its dead-latent term depends
   * @param dSae number of latents, on which its learning rate depends
   */
  public static TrainingConfig dictionaryLearning(int dIn, int dSae) {
    return PeerPresets.dictionaryLearning(dIn, dSae);
  }

  /**
   * sparsify with its Adam. Not expressed: 8-bit optimiser state, bf16, and that its dead-latent
   * term (off by default, as here) gives the encoder no gradient and adds b_dec twice.
   *
   * <p><b>Source</b>: sparsify, {@code sparse_coder.py} and {@code trainer.py}.
   *
   * @param dIn width of the activations, on which its dead-latent term depends
   * @param dSae number of latents, on which its learning rate depends
   * @param tokens rows to train on: the learning rate falls to 0 over all of them
   * @param batch rows per step
   */
  public static TrainingConfig sparsifyAdam(int dIn, int dSae, long tokens, int batch) {
    return PeerPresets.sparsifyAdam(dIn, dSae, tokens, batch);
  }

  /** A builder with the study's values. */
  public static Builder builder() {
    return new Builder();
  }

  /** A builder with these values. */
  public Builder toBuilder() {
    Builder b = new Builder();
    b.tokens = tokens;
    b.batch = batch;
    b.accumulate = accumulate;
    b.lr = lr;
    b.seed = seed;
    b.warmupSteps = warmupSteps;
    b.decaySteps = decaySteps;
    b.loss = loss;
    b.auxCoefficient = auxCoefficient;
    b.auxK = auxK;
    b.auxNorm = auxNorm;
    b.auxDetach = auxDetach;
    b.auxScaleByDead = auxScaleByDead;
    b.deadAfterBatches = deadAfterBatches;
    b.deadAfterRows = deadAfterRows;
    b.beta1 = beta1;
    b.beta2 = beta2;
    b.eps = eps;
    b.clipNorm = clipNorm;
    b.decoderNorm = decoderNorm;
    b.projectGradient = projectGradient;
    b.trainEncoderBias = trainEncoderBias;
    b.freezeDecoder = freezeDecoder;
    b.encoderInit = encoderInit;
    b.decoderBiasInit = decoderBiasInit;
    b.scaleActivations = scaleActivations;
    b.bufferRows = bufferRows;
    b.checkpointSteps = checkpointSteps;
    return b;
  }

  /** Collects values; {@link #build()} checks them. */
  public static final class Builder {
    static final int BUFFER_ROWS = 16384;

    private long tokens = 100_000_000L;
    private int batch = 4096;
    private int accumulate = 1;
    private double lr = 3e-4;
    private long seed = 42L;
    private long warmupSteps = 0L;
    private long decaySteps = 0L;
    private Loss loss = Loss.MEAN;
    private double auxCoefficient = 1.0 / 32;
    private int auxK = 512;
    private AuxNorm auxNorm = AuxNorm.MEAN;
    private boolean auxDetach = false;
    private boolean auxScaleByDead = false;
    private int deadAfterBatches = 5;
    private long deadAfterRows = 0L;
    private double beta1 = 0.9;
    private double beta2 = 0.99;
    private double eps = 1e-8;
    private double clipNorm = 1e5;
    private DecoderNorm decoderNorm = DecoderNorm.BEFORE_STEP;
    private boolean projectGradient = true;
    private boolean trainEncoderBias = false;
    private boolean freezeDecoder = false;
    private EncoderInit encoderInit = EncoderInit.KAIMING_D_SAE;
    private DecoderBiasInit decoderBiasInit = DecoderBiasInit.ZERO;
    private boolean scaleActivations = false;
    private int bufferRows = BUFFER_ROWS;
    private long checkpointSteps = 1000L;

    private Builder() {}

    /** Rows of activations to train on; steps = floor(tokens / batch). */
    public Builder tokens(long value) {
      this.tokens = value;
      return this;
    }

    /** Rows a step. */
    public Builder batch(int value) {
      this.batch = value;
      return this;
    }

    /** Equal parts in which a batch is computed before the one update; 1: whole. */
    public Builder accumulate(int parts) {
      this.accumulate = parts;
      return this;
    }

    /** Peak learning rate. */
    public Builder lr(double value) {
      this.lr = value;
      return this;
    }

    /** Decides initial weights and shuffling, and nothing else does. */
    public Builder seed(long value) {
      this.seed = value;
      return this;
    }

    /** Steps over which lr rises linearly from 0. */
    public Builder warmupSteps(long value) {
      this.warmupSteps = value;
      return this;
    }

    /** Last steps over which lr falls linearly to 0. */
    public Builder decaySteps(long value) {
      this.decaySteps = value;
      return this;
    }

    /** Reconstruction term. */
    public Builder loss(Loss value) {
      this.loss = value;
      return this;
    }

    /** Weight of the dead-latent term; 0 turns it off. */
    public Builder auxCoefficient(double value) {
      this.auxCoefficient = value;
      return this;
    }

    /** Most dead latents a row in the dead-latent term. */
    public Builder auxK(int value) {
      this.auxK = value;
      return this;
    }

    /** How the dead-latent term is scaled. */
    public Builder auxNorm(AuxNorm value) {
      this.auxNorm = value;
      return this;
    }

    /**
     * Whether the residual in the dead-latent term is a constant (the study's code lets the
     * gradient through).
     */
    public Builder auxDetach(boolean value) {
      this.auxDetach = value;
      return this;
    }

    /** Whether the term is multiplied by min(1, dead / auxK). */
    public Builder auxScaleByDead(boolean value) {
      this.auxScaleByDead = value;
      return this;
    }

    /**
     * A latent is dead that did not fire for so many batches, this one counted; 0 turns the rule
     * off.
     */
    public Builder deadAfterBatches(int value) {
      this.deadAfterBatches = value;
      return this;
    }

    /** A latent is dead that did not fire for so many rows; 0 turns the rule off. */
    public Builder deadAfterRows(long value) {
      this.deadAfterRows = value;
      return this;
    }

    /** Adam. */
    public Builder beta1(double value) {
      this.beta1 = value;
      return this;
    }

    /** Adam. */
    public Builder beta2(double value) {
      this.beta2 = value;
      return this;
    }

    /** Adam. */
    public Builder eps(double value) {
      this.eps = value;
      return this;
    }

    /** Bound on the global gradient norm; 0 turns clipping off. */
    public Builder clipNorm(double value) {
      this.clipNorm = value;
      return this;
    }

    /** When decoder rows are scaled to unit norm. */
    public Builder decoderNorm(DecoderNorm value) {
      this.decoderNorm = value;
      return this;
    }

    /** Whether the part of the decoder gradient parallel to its row is taken out. */
    public Builder projectGradient(boolean value) {
      this.projectGradient = value;
      return this;
    }

    /** Whether b_enc is trained (the study's TopK leaves it at zero). */
    public Builder trainEncoderBias(boolean value) {
      this.trainEncoderBias = value;
      return this;
    }

    /** Whether W_dec stays as it is and the encoder alone is trained. */
    public Builder freezeDecoder(boolean value) {
      this.freezeDecoder = value;
      return this;
    }

    /** Initial W_enc; W_dec starts as its transpose with unit rows. */
    public Builder encoderInit(EncoderInit value) {
      this.encoderInit = value;
      return this;
    }

    /** Initial b_dec. */
    public Builder decoderBiasInit(DecoderBiasInit value) {
      this.decoderBiasInit = value;
      return this;
    }

    /**
     * Whether activations are multiplied by one constant so that the mean norm is sqrt(d_in);
     * folded into the weights when saved.
     */
    public Builder scaleActivations(boolean value) {
      this.scaleActivations = value;
      return this;
    }

    /** Rows of the shuffle buffer, at least batch. */
    public Builder bufferRows(int value) {
      this.bufferRows = value;
      return this;
    }

    /** Steps between checkpoints; 0: on cancel only. */
    public Builder checkpointSteps(long value) {
      this.checkpointSteps = value;
      return this;
    }

    /**
     * Makes the configuration.
     *
     * @throws IllegalArgumentException if a value is out of range
     */
    public TrainingConfig build() {
      return new TrainingConfig(
          tokens,
          batch,
          accumulate,
          lr,
          seed,
          warmupSteps,
          decaySteps,
          loss,
          auxCoefficient,
          auxK,
          auxNorm,
          auxDetach,
          auxScaleByDead,
          deadAfterBatches,
          deadAfterRows,
          beta1,
          beta2,
          eps,
          clipNorm,
          decoderNorm,
          projectGradient,
          trainEncoderBias,
          freezeDecoder,
          encoderInit,
          decoderBiasInit,
          scaleActivations,
          bufferRows,
          checkpointSteps);
    }
  }
}
