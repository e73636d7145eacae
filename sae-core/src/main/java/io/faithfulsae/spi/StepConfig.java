package io.faithfulsae.spi;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonUnwrapped;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.DeserializationContext;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonDeserializer;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.annotation.JsonDeserialize;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What one training step computes: the loss, the dead-latent term, the optimizer and constraints on
 * the weights. Where other libraries differ, each choice is an option here.
 *
 * <p>In JSON, the values are at the same level, named after the methods of {@link Options}; those
 * of activations other than TopK are objects, left out where they have their defaults.
 *
 * <p>Over 400 lines: an option is a component, a field, a line in two lists, and a method.
 *
 * <p><b>Source</b>: FaithfulSAE (arXiv 2506.17673) and BatchTopK's training.py for the defaults.
 *
 * @param loss reconstruction term
 * @param aux the dead-latent term
 * @param dead which latents are dead
 * @param adam the optimizer
 * @param weights which weights are trained, and their constraints
 * @param threshold how BatchTopK learns its threshold
 * @param sparsity the term that makes ReLU and JumpReLU latents sparse
 * @param prefixes the prefixes of latents that BatchTopK reconstructs from (Matryoshka); empty: all
 *     latents only
 * @param annealing how k decreases to its value
 * @param multiTopK weight of the second loss, of what the 4k largest latents decode to
 * @param optimizer what the gradients become
 * @param rankByNorm whether latents are chosen by value times norm of their decoder row
 */
@JsonDeserialize(using = StepConfig.Reader.class)
public record StepConfig(
    Loss loss,
    @JsonUnwrapped Auxiliary aux,
    @JsonUnwrapped Dead dead,
    @JsonUnwrapped Adam adam,
    @JsonUnwrapped Weights weights,
    @JsonInclude(value = JsonInclude.Include.CUSTOM, valueFilter = Usual.class) Threshold threshold,
    @JsonInclude(value = JsonInclude.Include.CUSTOM, valueFilter = Usual.class) Sparsity sparsity,
    @JsonInclude(JsonInclude.Include.NON_EMPTY) List<Prefix> prefixes,
    @JsonInclude(value = JsonInclude.Include.CUSTOM, valueFilter = Usual.class) Annealing annealing,
    @JsonInclude(JsonInclude.Include.NON_DEFAULT) double multiTopK,
    @JsonInclude(value = JsonInclude.Include.CUSTOM, valueFilter = Usual.class) Optimizer optimizer,
    @JsonInclude(JsonInclude.Include.NON_DEFAULT) boolean rankByNorm) {
  private static final JsonMapper PARTS =
      JsonMapper.builder().disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES).build();

  /**
   * Checks the prefixes.
   *
   * @param threshold null: as SAELens learns it
   * @param sparsity null: none
   * @param prefixes null: none
   * @param annealing null: none
   * @param optimizer null: Adam
   * @throws IllegalArgumentException if they do not ascend, or there are more than 8, or a weight
   *     is negative
   */
  public StepConfig {
    threshold = threshold == null ? Threshold.USUAL : threshold;
    sparsity = sparsity == null ? Sparsity.USUAL : sparsity;
    prefixes = prefixes == null ? List.of() : List.copyOf(prefixes);
    annealing = annealing == null ? Annealing.USUAL : annealing;
    optimizer = optimizer == null ? Optimizer.ADAM : optimizer;
    BackendChecks.setting(
        multiTopK >= 0 && Double.isFinite(multiTopK), "a finite multiTopK >= 0", multiTopK);
    BackendChecks.setting(prefixes.size() <= 8, "at most 8 prefixes", prefixes.size());
    for (int i = 1; i < prefixes.size(); i++) {
      BackendChecks.setting(
          prefixes.get(i - 1).latents() < prefixes.get(i).latents(),
          "prefixes that ascend",
          prefixes);
    }
  }

  /** What is not part of a group. */
  private record Own(
      Loss loss,
      Threshold threshold,
      Sparsity sparsity,
      List<Prefix> prefixes,
      Annealing annealing,
      double multiTopK,
      Optimizer optimizer,
      boolean rankByNorm) {}

  /** Reads each group from the same object: Jackson can unwrap parts of records from 2.19 on. */
  static final class Reader extends JsonDeserializer<StepConfig> {
    @Override
    public StepConfig deserialize(JsonParser parser, DeserializationContext context)
        throws IOException {
      JsonNode json = context.readTree(parser);
      Own own = PARTS.treeToValue(json, Own.class);
      return new StepConfig(
          own.loss,
          PARTS.treeToValue(json, Auxiliary.class),
          PARTS.treeToValue(json, Dead.class),
          PARTS.treeToValue(json, Adam.class),
          PARTS.treeToValue(json, Weights.class),
          own.threshold,
          own.sparsity,
          own.prefixes,
          own.annealing,
          own.multiTopK,
          own.optimizer,
          own.rankByNorm);
    }
  }

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

  /** What a step makes of the gradients, after they are clipped and projected. */
  public enum Optimizer {
    /** torch.optim.Adam, with the constants of {@link Adam}. */
    ADAM,
    /**
     * signSGD with schedule-free averaging (Bernstein et al. 2018; Defazio et al. 2024), momentum
     * {@link #MOMENTUM}: gradients are taken at y = z + 0.95 (x − z), of an iterate z and its
     * average x, which is what a run saves. As in sparsify, a constraint on the norm of decoder
     * rows holds for y, so rows of x are a little shorter.
     *
     * <p><b>Source</b>: sparsify 1.3.3, {@code sign_sgd.py} and {@code trainer.py} (its default);
     * schedulefree 1.4.1, {@code ScheduleFreeWrapper}.
     */
    SIGNUM,
    /**
     * Muon (Jordan et al. 2024) for matrices, with weight decay 0.1 and momentum {@link #MOMENTUM};
     * Adam for biases. The five Newton-Schulz iterations are in float32, in sparsify in bfloat16,
     * whose rounding moves its losses by some 0.5 % within 100 steps.
     *
     * <p><b>Source</b>: sparsify 1.3.3, {@code muon.py}.
     */
    MUON;

    /** The momentum of {@link #SIGNUM} and {@link #MUON}. */
    public static final double MOMENTUM = 0.95;
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
   * @param signed whether dead latents take part with their pre-activations, negative ones too, and
   *     not only with values above 0 (SAELens)
   * @param byPrefix whether the dead latents of each prefix reconstruct what that prefix leaves,
   *     with a k, a norm and a share of dead latents of their own (SAELens' {@code
   *     use_matryoshka_aux_loss}); needs {@code detach}
   */
  public record Auxiliary(
      @JsonProperty("auxCoefficient") double coefficient,
      @JsonProperty("auxK") int k,
      @JsonProperty("auxNorm") AuxNorm norm,
      @JsonProperty("auxDetach") boolean detach,
      @JsonProperty("auxScaleByDead") boolean scaleByDead,
      @JsonProperty("auxSigned") @JsonInclude(JsonInclude.Include.NON_DEFAULT) boolean signed,
      @JsonProperty("auxByPrefix") @JsonInclude(JsonInclude.Include.NON_DEFAULT) boolean byPrefix) {
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
   * @param clipProjected whether that norm is the gradient's after its projection
   *     (dictionary_learning), not before it (BatchTopK)
   */
  public record Adam(
      double beta1,
      double beta2,
      double eps,
      double clipNorm,
      @JsonInclude(JsonInclude.Include.NON_DEFAULT) boolean clipProjected) {
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

  /**
   * How BatchTopK learns the threshold t that replaces the choice by batch after training: in each
   * step t += rate · (smallest value kept − t). SAELens: rate 0.01 from 0, from the first step on.
   * dictionary_learning ({@code threshold_beta}, {@code threshold_start_step}): rate 0.001, from
   * the first smallest value, after 1001 steps.
   *
   * @param rate 0 to learn none
   * @param afterSteps steps before the first that changes it
   * @param fromFirst whether it starts at the first smallest value rather than at 0
   */
  public record Threshold(
      @JsonProperty("thresholdRate") double rate,
      @JsonProperty("thresholdAfterSteps") long afterSteps,
      @JsonProperty("thresholdFromFirst") boolean fromFirst) {
    private static final Threshold USUAL = new Threshold(0.01, 0, false);

    /**
     * Checks the ranges.
     *
     * @throws IllegalArgumentException naming the option, the expected range and the value
     */
    public Threshold {
      BackendChecks.setting(rate >= 0 && rate <= 1, "thresholdRate in [0, 1]", rate);
      BackendChecks.setting(afterSteps >= 0, "thresholdAfterSteps >= 0", afterSteps);
    }
  }

  /** The sparsity term; means are over rows, L0 is a row's number of active latents. */
  public enum Penalty {
    /** None: the activation has a k. */
    NONE,
    /**
     * c · mean Σ_j z_j n_j (SAELens' {@code standard}; dictionary_learning's {@code
     * StandardTrainer}, unweighted, and {@code StandardTrainerAprilUpdate}).
     */
    L1,
    /** c · mean L0 (JumpReLU; SAELens: {@code step}). */
    L0,
    /** c · mean Σ_j tanh(s z_j n_j) (Anthropic, January 2025; SAELens: {@code tanh}). */
    TANH,
    /** c · mean 2 (L0 − T)² / T (Gemma Scope 2; SAELens: {@code quadratic}). */
    L0_OF_ROWS,
    /**
     * c · (mean L0 / T − 1)² (dictionary_learning's {@code JumpReluTrainer}). As there, the step's
     * gradient is taken at a latent's value, which is 0 below its threshold, not at its
     * pre-activation.
     */
    L0_OF_BATCH
  }

  /**
   * The sparsity term of ReLU and JumpReLU, and the gradient of JumpReLU's thresholds: with a
   * rectangle of width h around a threshold t, dz/dt = −(t/h) and dL0/dt = −(1/h) where |z_pre − t|
   * &lt; h/2 (Rajamanoharan et al. 2024, "Jumping ahead"). Thresholds below 0 become 0 after a
   * step.
   *
   * @param penalty the term
   * @param coefficient c
   * @param warmupSteps steps over which c increases linearly from 0
   * @param targetL0 T
   * @param tanhScale s
   * @param weightByNorm whether n_j is the norm of latent j's decoder row, through which the
   *     gradient flows, or 1
   * @param bandwidth h
   * @param gateDetach whether a gated SAE's auxiliary loss, the reconstruction from ReLU(z_pre) of
   *     its gates, gives the decoder no gradient (dictionary_learning; SAELens does). L1 is of
   *     those gates.
   * @param steToInput whether that gradient, negated, also goes to the pre-activations (Anthropic),
   *     not to thresholds alone (DeepMind)
   */
  public record Sparsity(
      @JsonProperty("sparsityPenalty") Penalty penalty,
      @JsonProperty("sparsityCoefficient") double coefficient,
      @JsonProperty("sparsityWarmupSteps") long warmupSteps,
      double targetL0,
      double tanhScale,
      boolean weightByNorm,
      double bandwidth,
      boolean gateDetach,
      boolean steToInput) {
    private static final Sparsity USUAL =
        new Sparsity(Penalty.NONE, 0, 0, 20, 4, true, 0.001, false, false);

    /**
     * Checks the ranges.
     *
     * @throws IllegalArgumentException naming the option, the expected range and the value
     */
    public Sparsity {
      BackendChecks.setting(
          coefficient >= 0 && Double.isFinite(coefficient),
          "a finite sparsityCoefficient >= 0",
          coefficient);
      BackendChecks.setting(warmupSteps >= 0, "sparsityWarmupSteps >= 0", warmupSteps);
      BackendChecks.setting(
          targetL0 > 0 && Double.isFinite(targetL0), "a finite targetL0 > 0", targetL0);
      BackendChecks.setting(
          tanhScale >= 0 && Double.isFinite(tanhScale), "a finite tanhScale >= 0", tanhScale);
      BackendChecks.setting(
          bandwidth > 0 && Double.isFinite(bandwidth), "a finite bandwidth > 0", bandwidth);
    }
  }

  /**
   * A prefix of the latents that reconstructs on its own (Bussmann et al. 2025, "Learning
   * multi-level features with Matryoshka SAEs"): the loss is Σ weight · loss of what the prefix
   * decodes to.
   *
   * @param latents its first latents; the last prefix has all
   * @param weight of its loss, 0 or above (SAELens: 1; dictionary_learning: group weight / groups)
   */
  public record Prefix(int latents, double weight) {
    /**
     * Checks the ranges.
     *
     * @throws IllegalArgumentException naming the option, the expected range and the value
     */
    public Prefix {
      BackendChecks.setting(latents >= 1, "prefixes of at least 1 latent", latents);
      BackendChecks.setting(
          weight >= 0 && Double.isFinite(weight), "a finite weight >= 0 of a prefix", weight);
    }
  }

  /**
   * How k decreases to its value: step s, counted from 0, has round(initialK (1 − p) + k p), p =
   * min(1, max(0, s − 1) / decaySteps). As in sparsify's run, where k is set before the step
   * counter moves on, the first two steps have the initial k. Where a row has fewer latents with a
   * value above 0 than k, sparsify also gives the encoder of some others a gradient; here those get
   * none.
   *
   * <p><b>Source</b>: sparsify 1.3.3, {@code Trainer.get_current_k}, where the initial k is the
   * smaller of 10 d_in and d_sae.
   *
   * @param initialK active latents per row at first
   * @param decaySteps steps until it is k; 0: from the first step on
   */
  public record Annealing(
      @JsonProperty("initialK") int initialK, @JsonProperty("kDecaySteps") long decaySteps) {
    private static final Annealing USUAL = new Annealing(1, 0);

    /**
     * Checks the ranges.
     *
     * @throws IllegalArgumentException naming the option, the expected range and the value
     */
    public Annealing {
      BackendChecks.setting(initialK >= 1, "initialK >= 1", initialK);
      BackendChecks.setting(decaySteps >= 0, "kDecaySteps >= 0", decaySteps);
    }

    /** k after {@code steps} steps, if it ends at {@code k}. */
    public int kAfter(long steps, int k) {
      long before = Math.max(0, steps - 1);
      if (before >= decaySteps) {
        return k;
      }
      double progress = (double) before / decaySteps;
      return (int) Math.rint(initialK * (1 - progress) + k * progress);
    }
  }

  /** What is left out of JSON, so that configurations of TopK read as they always did. */
  private static final class Usual {
    @Override
    public boolean equals(@Nullable Object other) {
      return Threshold.USUAL.equals(other)
          || Sparsity.USUAL.equals(other)
          || Annealing.USUAL.equals(other)
          || other == Optimizer.ADAM;
    }

    @Override
    public int hashCode() {
      return 0;
    }
  }

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
    private boolean auxSigned;
    private boolean auxByPrefix;
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
    private boolean clipProjected;
    private double thresholdRate = Threshold.USUAL.rate;
    private long thresholdAfterSteps;
    private boolean thresholdFromFirst;
    private Penalty sparsityPenalty = Penalty.NONE;
    private double sparsityCoefficient;
    private long sparsityWarmupSteps;
    private double targetL0 = Sparsity.USUAL.targetL0;
    private double tanhScale = Sparsity.USUAL.tanhScale;
    private boolean weightByNorm = Sparsity.USUAL.weightByNorm;
    private double bandwidth = Sparsity.USUAL.bandwidth;
    private boolean steToInput;
    private boolean gateDetach;
    private List<Prefix> prefixes = List.of();
    private int initialK = Annealing.USUAL.initialK;
    private long kDecaySteps;
    private double multiTopK;
    private Optimizer optimizer = Optimizer.ADAM;
    private boolean rankByNorm;

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
          new Auxiliary(
              auxCoefficient, auxK, auxNorm, auxDetach, auxScaleByDead, auxSigned, auxByPrefix),
          new Dead(deadAfterBatches, deadAfterRows),
          new Adam(beta1, beta2, eps, clipNorm, clipProjected),
          new Weights(decoderNorm, projectGradient, trainEncoderBias, freezeDecoder),
          new Threshold(thresholdRate, thresholdAfterSteps, thresholdFromFirst),
          new Sparsity(
              sparsityPenalty,
              sparsityCoefficient,
              sparsityWarmupSteps,
              targetL0,
              tanhScale,
              weightByNorm,
              bandwidth,
              gateDetach,
              steToInput),
          prefixes,
          new Annealing(initialK, kDecaySteps),
          multiTopK,
          optimizer,
          rankByNorm);
    }

    /** Sets all options of a step. */
    public B step(StepConfig all) {
      loss = all.loss;
      auxCoefficient = all.aux.coefficient;
      auxK = all.aux.k;
      auxNorm = all.aux.norm;
      auxDetach = all.aux.detach;
      auxScaleByDead = all.aux.scaleByDead;
      auxSigned = all.aux.signed;
      auxByPrefix = all.aux.byPrefix;
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
      clipProjected = all.adam.clipProjected;
      thresholdRate = all.threshold.rate;
      thresholdAfterSteps = all.threshold.afterSteps;
      thresholdFromFirst = all.threshold.fromFirst;
      sparsityPenalty = all.sparsity.penalty;
      sparsityCoefficient = all.sparsity.coefficient;
      sparsityWarmupSteps = all.sparsity.warmupSteps;
      targetL0 = all.sparsity.targetL0;
      tanhScale = all.sparsity.tanhScale;
      weightByNorm = all.sparsity.weightByNorm;
      bandwidth = all.sparsity.bandwidth;
      steToInput = all.sparsity.steToInput;
      gateDetach = all.sparsity.gateDetach;
      prefixes = all.prefixes;
      initialK = all.annealing.initialK;
      kDecaySteps = all.annealing.decaySteps;
      multiTopK = all.multiTopK;
      optimizer = all.optimizer;
      rankByNorm = all.rankByNorm;
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

    /** Whether negative pre-activations take part in the dead-latent term. */
    public B auxSigned(boolean value) {
      auxSigned = value;
      return self();
    }

    /** Whether the dead latents of each prefix have a term of their own. */
    public B auxByPrefix(boolean value) {
      auxByPrefix = value;
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

    /** Whether the norm that is clipped is that of the projected gradient. */
    public B clipProjected(boolean value) {
      clipProjected = value;
      return self();
    }

    /** Rate at which BatchTopK's threshold follows the smallest value kept; 0 to learn none. */
    public B thresholdRate(double value) {
      thresholdRate = value;
      return self();
    }

    /** Steps before the first that changes BatchTopK's threshold. */
    public B thresholdAfterSteps(long value) {
      thresholdAfterSteps = value;
      return self();
    }

    /** Whether BatchTopK's threshold starts at the first smallest value kept rather than at 0. */
    public B thresholdFromFirst(boolean value) {
      thresholdFromFirst = value;
      return self();
    }

    /** The sparsity term of ReLU and JumpReLU. */
    public B sparsityPenalty(Penalty value) {
      sparsityPenalty = value;
      return self();
    }

    /** Weight of the sparsity term. */
    public B sparsityCoefficient(double value) {
      sparsityCoefficient = value;
      return self();
    }

    /** Steps over which the sparsity term's weight increases linearly from 0. */
    public B sparsityWarmupSteps(long value) {
      sparsityWarmupSteps = value;
      return self();
    }

    /** Active latents per row that {@code L0_OF_ROWS} and {@code L0_OF_BATCH} aim at. */
    public B targetL0(double value) {
      targetL0 = value;
      return self();
    }

    /** Scale inside the tanh of the sparsity term. */
    public B tanhScale(double value) {
      tanhScale = value;
      return self();
    }

    /** Whether latents count times the norm of their decoder rows in L1 and tanh. */
    public B weightByNorm(boolean value) {
      weightByNorm = value;
      return self();
    }

    /** Width of the rectangle in the gradient of JumpReLU's thresholds. */
    public B bandwidth(double value) {
      bandwidth = value;
      return self();
    }

    /** Whether the gradient of JumpReLU's thresholds, negated, also goes to the pre-activations. */
    public B steToInput(boolean value) {
      steToInput = value;
      return self();
    }

    /** Whether a gated SAE's auxiliary loss gives the decoder no gradient. */
    public B gateDetach(boolean value) {
      gateDetach = value;
      return self();
    }

    /** k before the first step, if it decreases. */
    public B initialK(int value) {
      initialK = value;
      return self();
    }

    /** Steps over which k decreases from {@link #initialK} to its value; 0 for none. */
    public B kDecaySteps(long value) {
      kDecaySteps = value;
      return self();
    }

    /**
     * Weight of TopK's second loss, the reconstruction loss of what the min(4k, d_sae) largest
     * latents decode to (OpenAI; sparsify: 1/8); 0 for none. As in sparsify, whose encoder has no
     * gradient of its pre-activations, only the decoder and b_dec get one, and a skip connection is
     * not added; latents among the 4k count as active for the dead-latent term.
     *
     * <p><b>Source</b>: sparsify 1.3.3, {@code multi_topk} in {@code sparse_coder.py} and {@code
     * trainer.py}.
     */
    public B multiTopK(double value) {
      multiTopK = value;
      return self();
    }

    /** What the gradients become. */
    public B optimizer(Optimizer value) {
      optimizer = value;
      return self();
    }

    /**
     * Whether TopK, AbsTopK and BatchTopK choose latents, and dead ones, by value times norm of
     * their decoder row, which BatchTopK's threshold then bounds; else rows that shrink would not
     * matter. The norms are folded into the weights that a run saves: decoder rows become unit
     * vectors.
     *
     * <p><b>Source</b>: SAELens 6.54, {@code rescale_acts_by_decoder_norm} in {@code topk_sae.py}
     * (its default).
     */
    public B rankByNorm(boolean value) {
      rankByNorm = value;
      return self();
    }

    /** Prefixes of latents that BatchTopK reconstructs from (Matryoshka); none for all latents. */
    public B prefixes(List<Prefix> value) {
      prefixes = value;
      return self();
    }
  }
}
