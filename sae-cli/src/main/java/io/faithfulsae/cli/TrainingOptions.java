package io.faithfulsae.cli;

import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.StepConfig;
import io.faithfulsae.spi.StepConfig.Optimizer;
import io.faithfulsae.study.Recipe;
import io.faithfulsae.study.SaeFamily;
import io.faithfulsae.training.TrainingConfig;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/**
 * How {@code sae train} trains: what is not given is chosen by a rule from the SAE's shape and the
 * number of rows, or by a preset.
 */
final class TrainingOptions {
  /** Whose settings to use. */
  enum Preset {
    STUDY(Recipe.FAITHFULSAE, 4096),
    SPARSIFY(Recipe.SPARSIFY, 32 * 2048),
    SAELENS(Recipe.SAELENS, 4096),
    DICTIONARY_LEARNING(Recipe.DICTIONARY_LEARNING, 2048),
    OPENAI(null, 131_072);

    private final @Nullable Recipe recipe; // null: not one of the study's
    private final int batch;

    Preset(@Nullable Recipe recipe, int batch) {
      this.recipe = recipe;
      this.batch = batch;
    }

    /** Its own batch, or fewer rows if that leaves too few steps; the study's stays as it was. */
    int batch(long tokens) {
      return this == STUDY ? batch : TrainingConfig.recommendedBatch(tokens, batch);
    }

    TrainingConfig config(SaeFamily family, SaeConfig sae, long tokens, int batch) {
      Recipe known = recipe;
      if (known == null && family == SaeFamily.TOPK) {
        return TrainingConfig.openAi(sae.dIn());
      }
      try {
        if (known != null) {
          return known.config(family, sae.dIn(), sae.dSae(), tokens, batch);
        }
      } catch (IllegalArgumentException unsuitable) {
        // it says so in the words of a study's file
      }
      throw new IllegalArgumentException(
          Expected.message(
              "a --preset that has --activation " + family, this, "use another preset, or none"));
    }

    @Override
    public String toString() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  @Option(
      names = "--preset",
      paramLabel = "NAME",
      description =
          "Settings of another trainer, one of ${COMPLETION-CANDIDATES}: batch (smaller if --tokens would leave"
              + " fewer than 500 steps of it, but study's), learning rate, schedule, loss, dead latents,"
              + " first weights. Default: chosen from d, d_sae and --tokens; the start of the run says what."
              + " Other options override both.")
  @Nullable Preset preset;

  @Option(
      names = "--optimizer",
      paramLabel = "NAME",
      defaultValue = "adam",
      description =
          "${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE}). signum averages without a schedule;"
              + " muon is for matrices, with adam for biases; both as in sparsify.")
  Optimizer optimizer = Optimizer.ADAM;

  @Option(
      names = "--lr",
      paramLabel = "X",
      description =
          "Learning rate. Default: 2e-4 / sqrt(d_sae / 16384), times sqrt(10000 / steps) for fewer than"
              + " 10000 steps, or the preset's; with relu, jumprelu, gated 3e-4; with signum and muon as"
              + " --lr-by-width.")
  @Nullable Double lr;

  @Option(
      names = "--lr-by-width",
      description =
          "sparsify's learning rate: 2e-4 / sqrt(d_sae / 16384) with adam, 5e-3 / sqrt(d_sae / 16384)"
              + " with signum, 2e-3 with muon.")
  boolean lrByWidth;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "42",
      description =
          "Random seed of the initial weights and of shuffling (default: ${DEFAULT-VALUE}).")
  long seed;

  @Option(
      names = "--batch",
      paramLabel = "N",
      description =
          "Rows per step. Default: the largest power of two up to 4096 that leaves 500 steps, at least 64;"
              + " or the preset's.")
  @Nullable Integer batch;

  @Option(
      names = "--accumulate",
      paramLabel = "N",
      defaultValue = "1",
      description =
          "Equal parts into which a batch is split before its single update, if it does not fit in"
              + " memory (default: ${DEFAULT-VALUE}).")
  int accumulate;

  @Option(
      names = "--tokens",
      paramLabel = "N",
      required = true,
      description = "Rows to train on; a source with fewer is read again.")
  long tokens;

  @Option(
      names = "--warmup-steps",
      paramLabel = "N",
      description =
          "Default: a twentieth of the steps, at most 1000, or the preset's; none with signum and muon.")
  @Nullable Long warmupSteps;

  @Option(
      names = "--decay-steps",
      paramLabel = "N",
      description = "Default: a fifth of the steps, or the preset's; none with signum and muon.")
  @Nullable Long decaySteps;

  @Option(
      names = "--aux-coefficient",
      paramLabel = "X",
      description =
          "Weight of the dead-latent term, with which dead latents reconstruct what the others leave; 0 for"
              + " none. Default: 0.5, or the preset's. Not with gated.")
  @Nullable Double auxCoefficient;

  @Option(
      names = "--buffer-rows",
      paramLabel = "N",
      description = "Rows in the shuffle buffer. Default: 16384, at least four batches.")
  @Nullable Integer bufferRows;

  @Option(
      names = "--checkpoint-steps",
      paramLabel = "N",
      defaultValue = "200",
      description = "Steps between checkpoints (default: ${DEFAULT-VALUE}).")
  long checkpointSteps;

  /**
   * All settings of a run.
   *
   * @throws IllegalArgumentException if an option is out of range, or two do not go together
   */
  TrainingConfig config(ActivationOptions activation, SaeConfig sae, boolean transcoder) {
    TrainingConfig base = base(activation, sae);
    TrainingConfig.Builder builder = base.toBuilder();
    activation.apply(sae, builder);
    if (transcoder) {
      ActivationOptions.transcode(builder);
    }
    Double weight = auxCoefficient;
    if (weight != null) {
      builder.auxCoefficient(weight);
    }
    Long warmup = warmupSteps;
    Long decay = decaySteps;
    boolean scheduled = optimizer == Optimizer.ADAM;
    return builder
        .accumulate(accumulate)
        .optimizer(optimizer)
        .lr(learningRate(base, sae.dSae()))
        .seed(seed)
        .warmupSteps(warmup != null ? warmup : scheduled ? base.schedule().warmupSteps() : 0)
        .decaySteps(decay != null ? decay : scheduled ? base.schedule().decaySteps() : 0)
        .checkpointSteps(checkpointSteps)
        .build();
  }

  /** With the number of rows, the batch and the buffer. */
  private TrainingConfig base(ActivationOptions activation, SaeConfig sae) {
    Integer given = batch;
    Preset chosen = preset;
    TrainingConfig base;
    int size;
    if (activation.rankByNorm) {
      if (chosen != null && chosen != Preset.SAELENS) {
        throw new IllegalArgumentException(
            Expected.message("--preset saelens with --rank-by-norm", chosen, "leave out one"));
      }
      size = given != null ? given : Preset.SAELENS.batch(tokens);
      base = TrainingConfig.saeLens(sae.activation(), sae.dIn());
    } else if (chosen != null) {
      size = given != null ? given : chosen.batch(tokens);
      base = chosen.config(activation.kind, sae, tokens, size);
    } else {
      size = given != null ? given : TrainingConfig.recommended(sae, tokens).rows().batch();
      base = TrainingConfig.recommended(sae, tokens, size);
    }
    Integer rows = bufferRows;
    return base.toBuilder()
        .tokens(tokens)
        .batch(size)
        .bufferRows(rows == null ? Math.max(16_384, 4 * size) : rows)
        .build();
  }

  private double learningRate(TrainingConfig base, int dSae) {
    Double given = lr;
    if (given != null && lrByWidth) {
      throw new IllegalArgumentException(
          Expected.message("--lr or --lr-by-width", "both", "leave out one of them"));
    }
    if (given != null) {
      return given;
    }
    boolean byWidth = lrByWidth || optimizer != Optimizer.ADAM;
    return byWidth ? TrainingConfig.lrByWidth(optimizer, dSae) : base.lr();
  }

  /** What was chosen, by whom, and how to change it; for the start of a run. */
  String summary(SaeConfig sae, TrainingConfig chosen) {
    StepConfig step = chosen.step();
    String dead =
        step.dead().afterRows() > 0
            ? String.format(Locale.ROOT, "%,d rows", step.dead().afterRows())
            : step.dead().afterBatches() + " batches";
    String revived =
        step.aux().coefficient() > 0
            ? String.format(
                Locale.ROOT,
                "revived with weight %.3g, %d per row",
                step.aux().coefficient(),
                step.aux().k())
            : "not revived";
    return String.format(
        Locale.ROOT,
        "train: d %d, d_sae %d, %,d rows in %,d steps of %d; lr %.3g (%s), warm-up %d and decay %d steps;"
            + " latents count as dead after %s, %s. Settings %s; change them with --batch, --lr,"
            + " --warmup-steps, --decay-steps, --aux-coefficient or --preset.",
        sae.dIn(),
        sae.dSae(),
        chosen.rows().tokens(),
        chosen.steps(),
        chosen.rows().batch(),
        chosen.lr(),
        optimizer.name().toLowerCase(Locale.ROOT),
        chosen.schedule().warmupSteps(),
        chosen.schedule().decaySteps(),
        dead,
        revived,
        preset == null ? "chosen from d, d_sae and --tokens" : "of " + preset);
  }
}
