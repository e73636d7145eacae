package io.faithfulsae.cli;

import io.faithfulsae.Activation;
import io.faithfulsae.PairedSource;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.StepConfig.DecoderNorm;
import io.faithfulsae.spi.StepConfig.Penalty;
import io.faithfulsae.study.FamilyOptions;
import io.faithfulsae.study.SaeFamily;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingConfig.DecoderBiasInit;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Which activation {@code sae train} trains, and what makes it sparse. */
final class ActivationOptions {
  @Option(
      names = "--activation",
      paramLabel = "NAME",
      defaultValue = "topk",
      description =
          "${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE}). relu, jumprelu and gated train as SAELens does;"
              + " batchtopk learns a threshold for use after training.")
  SaeFamily kind = SaeFamily.TOPK;

  @Option(
      names = "--k",
      paramLabel = "N",
      description =
          "Active latents per token; on average with batchtopk. Not with relu, jumprelu, gated.")
  @Nullable Integer k;

  @Option(
      names = "--prefixes",
      paramLabel = "N",
      split = ",",
      description =
          "With batchtopk: also reconstruct from the first N latents, for each of these"
              + " (Matryoshka).")
  List<Integer> prefixes = new ArrayList<>();

  @Option(
      names = "--initial-k",
      paramLabel = "N",
      description =
          "With --k-decay-steps: k of the first step (default: the smaller of 10 d and d_sae).")
  @Nullable Integer initialK;

  @Option(
      names = "--k-decay-steps",
      paramLabel = "N",
      description =
          "With topk, batchtopk: steps over which k decreases to --k, as in sparsify (default: 0).")
  long kDecaySteps;

  @Option(
      names = "--rank-by-norm",
      description =
          "With topk, abstopk, batchtopk: all settings as SAELens has them by default, which ranks latents by"
              + " value times norm of their decoder row.")
  boolean rankByNorm;

  @Option(
      names = "--multi-topk",
      description = "With topk: add 1/8 of the loss with 4 k latents, as sparsify does.")
  boolean multiTopK;

  @Option(
      names = "--sparsity",
      paramLabel = "TERM",
      description =
          "With relu, jumprelu: the term of the loss, one of ${COMPLETION-CANDIDATES}. Default: l1"
              + " for relu and gated, l0 for jumprelu.")
  @Nullable Penalty sparsity;

  @Option(
      names = "--sparsity-coefficient",
      paramLabel = "X",
      description = "Its weight (default: 1).")
  @Nullable Double coefficient;

  @Option(
      names = "--sparsity-warmup-steps",
      paramLabel = "N",
      description = "Steps over which its weight increases from 0 (default: 0).")
  @Nullable Long sparsityWarmupSteps;

  @Option(
      names = "--target-l0",
      paramLabel = "X",
      description =
          "Active latents per token that l0_of_rows and l0_of_batch aim at (default: 20).")
  @Nullable Double targetL0;

  @Option(
      names = "--bandwidth",
      paramLabel = "X",
      description = "With jumprelu: width of the thresholds' gradient (default: 0.05).")
  @Nullable Double bandwidth;

  @Option(
      names = "--threshold",
      paramLabel = "X",
      description = "With jumprelu: thresholds before the first step (default: 0.01).")
  @Nullable Double threshold;

  private Activation activation() {
    if (kind.hasK() != (k != null)) {
      throw new IllegalArgumentException(
          kind.hasK()
              ? Expected.message("--k for " + kind, "none", "add --k N")
              : Expected.message("no --k for " + kind, k, "leave it out"));
    }
    return kind.activation(k == null ? 0 : k);
  }

  /** The SAE; the prefixes and the sparsity term are checked against it when it is trained. */
  SaeConfig config(int dIn, int dSae) {
    return new SaeConfig(dIn, dSae, activation(), true, Normalization.NONE);
  }

  /** A transcoder of this activation between the widths of the pairs. */
  SaeConfig transcoder(PairedSource pairs, int dSae, boolean skip) {
    int dIn = pairs.dIn() - pairs.dOut();
    return new SaeConfig(dIn, pairs.dOut(), dSae, activation(), false, Normalization.NONE, skip);
  }

  /** How sparsify trains and starts transcoders: decoder rows are free, biases center. */
  static void transcode(TrainingConfig.Builder builder) {
    builder
        .trainEncoderBias(true)
        .decoderNorm(DecoderNorm.NONE)
        .projectGradient(false)
        .decoderBiasInit(DecoderBiasInit.MEAN);
  }

  /** Sets what was given for this activation, over a preset. */
  void apply(SaeConfig sae, TrainingConfig.Builder builder) {
    requireSuitable();
    new FamilyOptions(
            prefixes,
            null, // of the preset
            initialK,
            kDecaySteps > 0 ? kDecaySteps : null,
            multiTopK ? 0.125 : null,
            sparsity,
            coefficient,
            sparsityWarmupSteps,
            targetL0,
            bandwidth,
            threshold)
        .apply(kind, sae.dIn(), sae.dSae(), builder);
  }

  /** An option of another activation would do nothing. */
  private void requireSuitable() {
    boolean anneals = kind == SaeFamily.TOPK || kind == SaeFamily.BATCHTOPK;
    refuse("--k-decay-steps", kDecaySteps != 0 && !anneals, SaeFamily.TOPK);
    refuse("--multi-topk", multiTopK && kind != SaeFamily.TOPK, SaeFamily.TOPK);
    refuse(
        "--rank-by-norm",
        rankByNorm && (!kind.hasK() || kind == SaeFamily.GROUPMAX),
        SaeFamily.BATCHTOPK);
    if (initialK != null && kDecaySteps == 0) {
      throw new IllegalArgumentException(
          Expected.message("--k-decay-steps with --initial-k", "none", "add --k-decay-steps N"));
    }
    refuse("--prefixes", !prefixes.isEmpty() && kind != SaeFamily.BATCHTOPK, SaeFamily.BATCHTOPK);
    boolean sparse =
        sparsity != null || coefficient != null || sparsityWarmupSteps != null || targetL0 != null;
    refuse("--sparsity... and --target-l0", sparse && kind.hasK(), SaeFamily.JUMPRELU);
    refuse(
        "--bandwidth and --threshold",
        (bandwidth != null || threshold != null) && kind != SaeFamily.JUMPRELU,
        SaeFamily.JUMPRELU);
  }

  private void refuse(String options, boolean unsuitable, SaeFamily suitable) {
    if (unsuitable) {
      throw new IllegalArgumentException(
          Expected.message(
              options + " with an activation that has them, such as " + suitable,
              kind,
              "leave them out"));
    }
  }
}
