package io.faithfulsae.training;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonUnwrapped;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.DeserializationContext;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonDeserializer;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.annotation.JsonDeserialize;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.Activation;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.StepConfig;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * All settings of a training run other than the SAE's shape and the data. {@link #recommended}
 * chooses them from both, {@link #faithfulSae()} has the study's values; change individual ones
 * with {@link #toBuilder()}. Where other libraries differ, each choice is an option here, and a
 * preset per library sets them all.
 *
 * <p>In JSON, all values are at the same level, named after the builder's methods.
 *
 * <p>Over 400 lines: most of them say what each preset is and how it differs.
 *
 * <p><b>Source</b>: FaithfulSAE (arXiv 2506.17673) and BatchTopK's training.py for the defaults.
 *
 * @param rows how many rows to train on, in total and per step
 * @param lr peak learning rate
 * @param seed random seed of the initial weights and shuffling
 * @param schedule the learning rate schedule
 * @param step what one step computes
 * @param start initial weights and input scale
 * @param bufferRows rows in the shuffle buffer, at least {@code batch}
 * @param checkpointSteps steps between checkpoints; 0 to write one only on cancellation
 */
@JsonDeserialize(using = TrainingConfig.Reader.class)
public record TrainingConfig(
    @JsonUnwrapped Rows rows,
    double lr,
    long seed,
    @JsonUnwrapped Schedule schedule,
    @JsonUnwrapped StepConfig step,
    @JsonUnwrapped Start start,
    int bufferRows,
    long checkpointSteps) {
  private static final JsonMapper PARTS =
      JsonMapper.builder().disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES).build();

  /**
   * How many rows to train on, in total and per step.
   *
   * @param tokens rows of activations to train on; steps = floor(tokens / batch)
   * @param batch rows per step
   * @param accumulate number of equal parts of a batch whose gradients are computed in sequence and
   *     accumulated before the update; 1 for the whole batch at once. For batches that do not fit
   *     in memory; above 1, gradients take 4 bytes per parameter. The auxiliary loss, and losses
   *     divided by a variance, are computed per part.
   */
  public record Rows(long tokens, int batch, int accumulate) {
    /**
     * Checks the ranges.
     *
     * @throws IllegalArgumentException naming the option, the expected range and the value
     */
    public Rows {
      BackendChecks.setting(batch >= 1, "batch >= 1", batch);
      BackendChecks.setting(tokens >= batch, "tokens >= batch = " + batch, tokens);
      BackendChecks.setting(
          accumulate >= 1 && batch % accumulate == 0,
          "accumulate >= 1 that divides batch = " + batch,
          accumulate);
    }
  }

  /**
   * The learning rate schedule: linear warm-up, constant, linear decay.
   *
   * @param warmupSteps steps over which it increases linearly from 0
   * @param decaySteps last steps over which it decreases linearly to 0
   */
  public record Schedule(long warmupSteps, long decaySteps) {
    /**
     * Checks the ranges.
     *
     * @throws IllegalArgumentException naming the option, the expected range and the value
     */
    public Schedule {
      BackendChecks.setting(warmupSteps >= 0, "warmupSteps >= 0", warmupSteps);
      BackendChecks.setting(decaySteps >= 0, "decaySteps >= 0", decaySteps);
    }

    /** Fraction of the peak at step {@code step} of {@code steps}, counted from 0. */
    double factor(long step, long steps) {
      double factor = 1;
      if (step < warmupSteps) {
        factor = (step + 1.0) / warmupSteps;
      }
      long remaining = steps - step;
      if (remaining <= decaySteps) {
        factor = Math.min(factor, (double) remaining / decaySteps);
      }
      return factor;
    }
  }

  /**
   * Initial weights and input scale; {@link SaeTrainer#withInitial} overrides the weights.
   *
   * @param encoderInit initial W_enc; W_dec starts as its transpose with unit rows, if not {@link
   *     EncoderInit#TENTH}
   * @param decoderBiasInit initial b_dec
   * @param scaleActivations whether activations are multiplied by one constant so that the mean
   *     norm is sqrt(d_in); folded into the weights when saved
   * @param initialThreshold thresholds of JumpReLU before the first step (SAELens: 0.01;
   *     dictionary_learning: 0.001); null: 0.01
   */
  public record Start(
      EncoderInit encoderInit,
      DecoderBiasInit decoderBiasInit,
      boolean scaleActivations,
      @JsonInclude(JsonInclude.Include.NON_NULL) @Nullable Double initialThreshold) {
    /**
     * Checks the ranges.
     *
     * @throws IllegalArgumentException naming the option, the expected range and the value
     */
    public Start {
      BackendChecks.setting(
          initialThreshold == null
              || (initialThreshold >= 0 && initialThreshold <= Float.MAX_VALUE),
          "a finite initialThreshold >= 0",
          String.valueOf(initialThreshold));
    }

    float threshold() {
      return initialThreshold == null ? 0.01f : initialThreshold.floatValue();
    }
  }

  /** Initial encoder weights. */
  public enum EncoderInit {
    /** Uniform in ±sqrt(6 / d_sae): torch's kaiming_uniform_ on [d_in, d_sae] (the study). */
    KAIMING_D_SAE,
    /** Uniform in ±1/sqrt(d_in): torch's nn.Linear (sparsify). */
    LINEAR,
    /**
     * Random directions of norm 0.1, in W_dec too (Anthropic, April 2024; SAELens; ReLU in
     * dictionary_learning).
     */
    TENTH
  }

  /** Initial decoder bias. */
  public enum DecoderBiasInit {
    /** Zero (the study). */
    ZERO,
    /** Mean of the first rows of the shuffle buffer, at most 32768 (sparsify). */
    MEAN,
    /** Geometric median of the same rows (OpenAI, dictionary_learning). */
    GEOMETRIC_MEDIAN
  }

  /**
   * Checks what the component records do not.
   *
   * @throws IllegalArgumentException naming the option, the expected range and the value
   */
  public TrainingConfig {
    BackendChecks.setting(bufferRows >= 1, "bufferRows >= 1", bufferRows);
    BackendChecks.setting(lr > 0 && Double.isFinite(lr), "a finite lr > 0", lr);
    BackendChecks.setting(
        bufferRows >= rows.batch, "bufferRows >= batch = " + rows.batch, bufferRows);
    BackendChecks.setting(checkpointSteps >= 0, "checkpointSteps >= 0", checkpointSteps);
  }

  /** What is not part of a group. */
  private record Own(double lr, long seed, int bufferRows, long checkpointSteps) {}

  /** Reads each group from the same object: Jackson can unwrap parts of records from 2.19 on. */
  static final class Reader extends JsonDeserializer<TrainingConfig> {
    @Override
    public TrainingConfig deserialize(JsonParser parser, DeserializationContext context)
        throws IOException {
      JsonNode json = context.readTree(parser);
      Own own = PARTS.treeToValue(json, Own.class);
      return new TrainingConfig(
          PARTS.treeToValue(json, Rows.class),
          own.lr,
          own.seed,
          PARTS.treeToValue(json, Schedule.class),
          PARTS.treeToValue(json, StepConfig.class),
          PARTS.treeToValue(json, Start.class),
          own.bufferRows,
          own.checkpointSteps);
    }
  }

  /** Number of steps: floor(tokens / batch). */
  public long steps() {
    return rows.tokens / rows.batch;
  }

  /** Learning rate at step {@code step}, counted from 0: warm-up, constant, then decay. */
  public double lrAt(long step) {
    return lr * schedule.factor(step, steps());
  }

  /** The study's values (BatchTopK's trainer in its TopK mode). */
  public static TrainingConfig faithfulSae() {
    return builder().build();
  }

  /**
   * SAELens' TopK trainer with unit decoder rows: {@link #saeLens(Activation, int)} is what it is
   * by default. There, decoder rows start at norm 0.1 and are unconstrained, and latents are ranked
   * by activation times row norm; here rows are normalized to 1 after each step, which every
   * backend can do.
   *
   * <p><b>Source</b>: SAELens 6, {@code topk_sae.py} and {@code sae_trainer.py}.
   *
   * @param dIn width of the activations; sets the size of the dead-latent term
   */
  public static TrainingConfig saeLens(int dIn) {
    return PeerPresets.saeLens(dIn);
  }

  /**
   * SAELens' trainer of an activation, as it is by default: TopK, AbsTopK and BatchTopK with its
   * learned threshold (add {@link StepConfig.Prefix prefixes} for Matryoshka, and {@code
   * auxByPrefix} for its {@code use_matryoshka_aux_loss}), ranked by activation times row norm;
   * ReLU with L1 of coefficient 1, weighted by decoder norms; JumpReLU with L0 of coefficient 1 and
   * a bandwidth of 0.05. Its first 100 steps are SAELens' from the same weights. Remaining
   * difference: a dead latent that fires again counts as dead for that step there.
   *
   * <p><b>Source</b>: SAELens 6.54, {@code topk_sae.py}, {@code abstopk_sae.py}, {@code
   * batchtopk_sae.py}, {@code matryoshka_batchtopk_sae.py}, {@code standard_sae.py}, {@code
   * jumprelu_sae.py} and {@code sae_trainer.py}.
   *
   * @param dIn width of the activations; sets the size of the dead-latent term
   * @throws IllegalArgumentException for an activation that cannot be trained
   */
  public static TrainingConfig saeLens(Activation activation, int dIn) {
    return PeerPresets.saeLens(activation, dIn);
  }

  /**
   * The same, but latents are ranked by activation alone and only values above 0 of dead latents
   * count.
   *
   * @param dIn width of the activations; sets the size of the dead-latent term
   * @throws IllegalArgumentException for an activation that cannot be trained
   */
  public static TrainingConfig saeLensUnranked(Activation activation, int dIn) {
    return saeLens(activation, dIn).toBuilder().rankByNorm(false).auxSigned(false).build();
  }

  /**
   * dictionary_learning's trainer of an activation: that of {@link #dictionaryLearning(int, int)}
   * for TopK; BatchTopK, JumpReLU with a target of 20 active latents, and ReLU with an unweighted
   * L1 of coefficient 0.1 ({@code StandardTrainer}). Its first 100 steps are dictionary_learning's
   * from the same weights and learning rates; its warm-up starts at 0, here at one step's share.
   * Remaining differences are those of {@link #dictionaryLearning(int, int)} but for clipping, and
   * JumpReLU's thresholds, which may become negative there, and ReLU's encoder bias, which starts
   * uniform in ±1/sqrt(d_in) there and at 0 here.
   *
   * <p><b>Source</b>: dictionary_learning 0.1.0, {@code trainers/batch_top_k.py}, {@code
   * jumprelu.py} and {@code standard.py}.
   *
   * @param dIn width of the activations; sets the size of the dead-latent term
   * @param dSae number of latents; sets the learning rate
   * @throws IllegalArgumentException for an activation that cannot be trained
   */
  public static TrainingConfig dictionaryLearning(Activation activation, int dIn, int dSae) {
    return PeerPresets.dictionaryLearning(activation, dIn, dSae);
  }

  /**
   * dictionary_learning's TopK trainer. Remaining differences: it clips after projecting the
   * decoder's gradient (here before), starts the encoder from unit rows, keeps a threshold for
   * inference, and optionally normalizes activations to mean square norm 1.
   *
   * <p><b>Source</b>: dictionary_learning, {@code trainers/top_k.py}.
   *
   * @param dIn width of the activations; sets the size of the dead-latent term
   * @param dSae number of latents; sets the learning rate
   */
  public static TrainingConfig dictionaryLearning(int dIn, int dSae) {
    return PeerPresets.dictionaryLearning(dIn, dSae);
  }

  /**
   * sparsify's trainer with Adam. Remaining differences: it has 8-bit optimizer state and bf16, and
   * its dead-latent term (off by default, as here) gives the encoder no gradient and adds b_dec
   * twice.
   *
   * <p><b>Source</b>: sparsify, {@code sparse_coder.py} and {@code trainer.py}.
   *
   * @param dIn width of the activations; sets the size of the dead-latent term
   * @param dSae number of latents; sets the learning rate
   * @param tokens rows to train on; the learning rate decays to 0 over all of them
   * @param batch rows per step
   */
  public static TrainingConfig sparsifyAdam(int dIn, int dSae, long tokens, int batch) {
    return PeerPresets.sparsifyAdam(dIn, dSae, tokens, batch);
  }

  /**
   * sparsify's learning rate of an optimizer for a number of latents: 2e-4 / sqrt(d_sae / 2¹⁴) for
   * Adam, 5e-3 / sqrt(d_sae / 2¹⁴) for signum, 2e-3 for Muon.
   *
   * <p><b>Source</b>: sparsify 1.3.3, {@code trainer.py}.
   */
  public static double lrByWidth(StepConfig.Optimizer optimizer, int dSae) {
    double narrow = Math.sqrt(dSae / 16384.0);
    return switch (optimizer) {
      case ADAM -> 2e-4 / narrow;
      case SIGNUM -> 5e-3 / narrow;
      case MUON -> 2e-3;
    };
  }

  /**
   * sparsify's trainer, of SAEs and transcoders; signum is its default. Its first 100 steps are
   * sparsify's from the same weights and learning rates. Remaining differences: it has bf16 and,
   * with Adam, 8-bit optimizer state; its warm-up of Adam starts at 0, here at one step's share,
   * and with Muon it applies to the biases alone, here to nothing; its dead-latent term (off by
   * default, as here) gives the encoder no gradient.
   *
   * <p><b>Source</b>: sparsify 1.3.3, {@code sparse_coder.py} and {@code trainer.py}.
   *
   * @param sae its shape sets the learning rate; one that does not subtract {@code b_dec} is
   *     trained as a transcoder, whose decoder rows have no norm to keep
   * @param tokens rows to train on; the learning rate of Adam and Muon decays to 0 over all of them
   * @param batch rows per step
   */
  public static TrainingConfig sparsify(
      StepConfig.Optimizer optimizer, SaeConfig sae, long tokens, int batch) {
    return PeerPresets.sparsify(optimizer, sae, tokens, batch);
  }

  /**
   * OpenAI's TopK trainer. Remaining differences: the loss is divided by the batch's variance,
   * there by that of the first rows; a latent fires above 0, there above 1e-3; the encoder is not
   * scaled at the start so that reconstructions have the size of the input; no average of the
   * weights.
   *
   * <p><b>Source</b>: openai/sparse_autoencoder, {@code train.py} and {@code loss.py}; Gao et al.
   * 2024 (arXiv 2406.04093), where the dead-latent term has the power of two near d_in / 2.
   *
   * @param dIn width of the activations; sets the size of the dead-latent term
   */
  public static TrainingConfig openAi(int dIn) {
    return PeerPresets.openAi(dIn);
  }

  /**
   * Settings chosen from the SAE's shape and the number of rows, to start from where nothing else
   * is known.
   *
   * <ul>
   *   <li><b>Batch</b>: the largest power of two up to 4096 (SAELens, BatchTopK) that leaves 500
   *       steps, at least 64; see {@link #recommendedBatch}.
   *   <li><b>Learning rate</b> of Adam: 2e-4 / sqrt(d_sae / 2¹⁴) (sparsify, dictionary_learning),
   *       times sqrt(10,000 / steps) in runs of fewer than 10,000 steps; warm-up over a twentieth
   *       of the steps, at most 1000 (both), and decay over the last fifth (dictionary_learning).
   *   <li><b>Dead latents</b>: those that have not fired for a fortieth of the rows, or for as many
   *       rows as an average latent takes to fire 16 times, if that is longer, and at most for
   *       10,000,000 (OpenAI and both) reconstruct what the others leave, d_in / 2 of them per row,
   *       normalized by the residual's variance (OpenAI, dictionary_learning), with weight 1/2: the
   *       1/32 of these two is for runs with many more steps.
   * </ul>
   *
   * <p>The powers and shares that name no source are ours; {@code docs/training.md} has what they
   * were measured on. This is for TopK, AbsTopK, GroupMax and BatchTopK; for activations that a
   * penalty makes sparse it is {@link #saeLensUnranked} with this batch.
   *
   * @param tokens rows to train on, at least 1
   */
  public static TrainingConfig recommended(SaeConfig sae, long tokens) {
    return recommended(sae, tokens, RecommendedSettings.batch(tokens));
  }

  /**
   * The same for a given batch, from which the number of steps and with it the learning rate
   * follow.
   *
   * @throws IllegalArgumentException if the batch is not in [1, tokens]
   */
  public static TrainingConfig recommended(SaeConfig sae, long tokens, int batch) {
    return RecommendedSettings.of(sae, tokens, new Rows(tokens, batch, 1).batch());
  }

  /**
   * The largest power of two up to {@code most} that leaves 500 steps of {@code tokens} rows; at
   * least 64 of these, if there are as many.
   *
   * @param tokens rows to train on, at least 1
   * @param most the largest batch that is wanted, at least 1
   */
  public static int recommendedBatch(long tokens, int most) {
    return RecommendedSettings.batch(tokens, most);
  }

  /** A builder with the study's values. */
  public static Builder builder() {
    return new Builder();
  }

  /** A builder with these values. */
  public Builder toBuilder() {
    Builder b = new Builder().step(step);
    b.tokens = rows.tokens;
    b.batch = rows.batch;
    b.accumulate = rows.accumulate;
    b.lr = lr;
    b.seed = seed;
    b.warmupSteps = schedule.warmupSteps;
    b.decaySteps = schedule.decaySteps;
    b.encoderInit = start.encoderInit;
    b.decoderBiasInit = start.decoderBiasInit;
    b.scaleActivations = start.scaleActivations;
    b.initialThreshold = start.initialThreshold;
    b.bufferRows = bufferRows;
    b.checkpointSteps = checkpointSteps;
    return b;
  }

  /** Collects values, including those of {@link StepConfig}; {@link #build()} checks them. */
  public static final class Builder extends StepConfig.Options<Builder> {
    static final int BUFFER_ROWS = 16384;

    private long tokens = 100_000_000L;
    private int batch = 4096;
    private int accumulate = 1;
    private double lr = 3e-4;
    private long seed = 42L;
    private long warmupSteps = 0L;
    private long decaySteps = 0L;
    private EncoderInit encoderInit = EncoderInit.KAIMING_D_SAE;
    private DecoderBiasInit decoderBiasInit = DecoderBiasInit.ZERO;
    private boolean scaleActivations = false;
    private @Nullable Double initialThreshold;
    private int bufferRows = BUFFER_ROWS;
    private long checkpointSteps = 1000L;

    private Builder() {}

    @Override
    protected Builder self() {
      return this;
    }

    /** Rows of activations to train on; steps = floor(tokens / batch). */
    public Builder tokens(long value) {
      this.tokens = value;
      return this;
    }

    /** Rows per step. */
    public Builder batch(int value) {
      this.batch = value;
      return this;
    }

    /** Number of equal parts of a batch whose gradients are accumulated; 1 for the whole batch. */
    public Builder accumulate(int parts) {
      this.accumulate = parts;
      return this;
    }

    /** Peak learning rate. */
    public Builder lr(double value) {
      this.lr = value;
      return this;
    }

    /** Random seed of the initial weights and shuffling. */
    public Builder seed(long value) {
      this.seed = value;
      return this;
    }

    /** Steps over which lr increases linearly from 0. */
    public Builder warmupSteps(long value) {
      this.warmupSteps = value;
      return this;
    }

    /** Last steps over which lr decreases linearly to 0. */
    public Builder decaySteps(long value) {
      this.decaySteps = value;
      return this;
    }

    /** Initial W_enc; W_dec starts as its transpose, in most cases with unit rows. */
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

    /** Thresholds of JumpReLU before the first step. */
    public Builder initialThreshold(double value) {
      this.initialThreshold = value;
      return this;
    }

    /** Rows in the shuffle buffer, at least batch. */
    public Builder bufferRows(int value) {
      this.bufferRows = value;
      return this;
    }

    /** Steps between checkpoints; 0 to write one only on cancellation. */
    public Builder checkpointSteps(long value) {
      this.checkpointSteps = value;
      return this;
    }

    /**
     * Builds the configuration.
     *
     * @throws IllegalArgumentException if a value is out of range
     */
    public TrainingConfig build() {
      return new TrainingConfig(
          new Rows(tokens, batch, accumulate),
          lr,
          seed,
          new Schedule(warmupSteps, decaySteps),
          buildStep(),
          new Start(encoderInit, decoderBiasInit, scaleActivations, initialThreshold),
          bufferRows,
          checkpointSteps);
    }
  }
}
