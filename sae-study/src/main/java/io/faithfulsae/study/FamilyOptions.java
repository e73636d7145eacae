package io.faithfulsae.study;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonSetter;
import com.fasterxml.jackson.annotation.Nulls;
import io.faithfulsae.spi.StepConfig.Penalty;
import io.faithfulsae.spi.StepConfig.Prefix;
import io.faithfulsae.training.TrainingConfig;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What is set of activations' training; each option applies to the activations that have it, and
 * null leaves the preset's own.
 *
 * @param prefixes with batchtopk: reconstruct from the first latents as well, for each of these
 *     (Matryoshka)
 * @param rankByNorm with topk, abstopk, batchtopk: choose latents by value times norm of their
 *     decoder row; CPU
 * @param initialK with {@code kDecaySteps}: k of the first step; null: the smaller of 10 d_in and
 *     d_sae
 * @param kDecaySteps with topk, batchtopk: steps over which k decreases to its value
 * @param multiTopK with topk: weight of the loss of 4k latents
 * @param sparsity with relu, jumprelu, gated: the term
 * @param sparsityCoefficient with the same: its weight
 * @param sparsityWarmupSteps with the same: steps over which its weight increases from 0
 * @param targetL0 with the same: active latents that a term aims at
 * @param bandwidth with jumprelu: width of the thresholds' gradient
 * @param threshold with jumprelu: thresholds before the first step
 */
@JsonInclude(JsonInclude.Include.NON_NULL)
public record FamilyOptions(
    @JsonSetter(nulls = Nulls.SET, contentNulls = Nulls.FAIL) @Nullable List<Integer> prefixes,
    @Nullable Boolean rankByNorm,
    @Nullable Integer initialK,
    @Nullable Long kDecaySteps,
    @Nullable Double multiTopK,
    @Nullable Penalty sparsity,
    @Nullable Double sparsityCoefficient,
    @Nullable Long sparsityWarmupSteps,
    @Nullable Double targetL0,
    @Nullable Double bandwidth,
    @Nullable Double threshold) {

  /** Copies the list. */
  public FamilyOptions {
    prefixes = prefixes == null ? null : List.copyOf(prefixes);
  }

  /** Each option must be of use for one of the activations. */
  void requireUsed(List<SaeFamily> families) {
    require("prefixes", prefixes, families, List.of(SaeFamily.BATCHTOPK));
    require(
        "rankByNorm",
        rankByNorm,
        families,
        List.of(SaeFamily.TOPK, SaeFamily.ABSTOPK, SaeFamily.BATCHTOPK));
    List<SaeFamily> annealed = List.of(SaeFamily.TOPK, SaeFamily.BATCHTOPK);
    require("initialK", initialK, families, annealed);
    require("kDecaySteps", kDecaySteps, families, annealed);
    require("multiTopK", multiTopK, families, List.of(SaeFamily.TOPK));
    List<SaeFamily> sparse = List.of(SaeFamily.RELU, SaeFamily.JUMPRELU, SaeFamily.GATED);
    require("sparsity", sparsity, families, sparse);
    require("sparsityCoefficient", sparsityCoefficient, families, sparse);
    require("sparsityWarmupSteps", sparsityWarmupSteps, families, sparse);
    require("targetL0", targetL0, families, sparse);
    require("bandwidth", bandwidth, families, List.of(SaeFamily.JUMPRELU));
    require("threshold", threshold, families, List.of(SaeFamily.JUMPRELU));
  }

  private static void require(
      String option, @Nullable Object value, List<SaeFamily> families, List<SaeFamily> suitable) {
    StudyConfig.require(
        value == null || families.stream().anyMatch(suitable::contains),
        "training.options." + option,
        "none, or one of " + suitable + " in sae.activation",
        families);
  }

  /**
   * Sets those that an activation has.
   *
   * @param to modified
   */
  public void apply(SaeFamily family, int dIn, int dSae, TrainingConfig.Builder to) {
    if (family == SaeFamily.BATCHTOPK && prefixes != null && !prefixes.isEmpty()) {
      List<Prefix> all = new ArrayList<>();
      prefixes.forEach(latents -> all.add(new Prefix(latents, 1)));
      if (prefixes.get(prefixes.size() - 1) < dSae) {
        all.add(new Prefix(dSae, 1));
      }
      to.prefixes(all);
    }
    if (family.takesAnyK() && rankByNorm != null) {
      to.rankByNorm(rankByNorm);
    }
    if ((family == SaeFamily.TOPK || family == SaeFamily.BATCHTOPK) && kDecaySteps != null) {
      Integer first = initialK;
      to.kDecaySteps(kDecaySteps).initialK(first == null ? (int) Math.min(10L * dIn, dSae) : first);
    }
    if (family == SaeFamily.TOPK && multiTopK != null) {
      to.multiTopK(multiTopK);
    }
    if (family.isSparseByLoss()) {
      applySparsity(to);
    }
    if (family == SaeFamily.JUMPRELU && bandwidth != null) {
      to.bandwidth(bandwidth);
    }
    if (family == SaeFamily.JUMPRELU && threshold != null) {
      to.initialThreshold(threshold);
    }
  }

  private void applySparsity(TrainingConfig.Builder to) {
    if (sparsity != null) {
      to.sparsityPenalty(sparsity);
    }
    if (sparsityCoefficient != null) {
      to.sparsityCoefficient(sparsityCoefficient);
    }
    if (sparsityWarmupSteps != null) {
      to.sparsityWarmupSteps(sparsityWarmupSteps);
    }
    if (targetL0 != null) {
      to.targetL0(targetL0);
    }
  }
}
