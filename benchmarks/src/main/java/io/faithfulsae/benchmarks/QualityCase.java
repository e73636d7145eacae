package io.faithfulsae.benchmarks;

import io.faithfulsae.Activation;
import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.Gated;
import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.spi.StepConfig.Prefix;
import io.faithfulsae.training.TrainingConfig;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * One trainer of another library, and ours with that library's preset: {@code quality.py} passes
 * {@code theirs} to the library, so that both sides have the same settings.
 *
 * @param peer {@code saelens} or {@code dictionary_learning}
 * @param family the kind of SAE, as the benchmarks' {@code activation} parameter names it
 * @param sae what we train
 * @param ours how we train it
 * @param theirs arguments of the peer's trainer, by their names there
 */
record QualityCase(
    String peer, String family, SaeConfig sae, TrainingConfig ours, Map<String, Object> theirs) {
  static final String SAELENS = "saelens";
  static final String DICTIONARY_LEARNING = "dictionary_learning";

  /** Active latents per row where the family has a k or a target. */
  static final int K = 4;

  private static final double LR = 3e-3;
  private static final int WARMUP = 200;
  private static final int SPARSITY_WARMUP = 400;
  private static final double JUMP_BANDWIDTH = 0.1;

  /** A name for folders. */
  String name() {
    return peer + "-" + family;
  }

  /** All families that train, with each peer's settings. */
  static List<QualityCase> all(QualitySize size) {
    List<QualityCase> cases = new ArrayList<>();
    for (String family : List.of("topk", "batchtopk", "matryoshka", "jumprelu", "relu", "gated")) {
      cases.add(saeLens(size, family));
      cases.add(dictionaryLearning(size, family));
    }
    return cases;
  }

  private static Activation activation(String family) {
    return switch (family) {
      case "topk" -> new TopK(K);
      case "jumprelu" -> new JumpRelu();
      case "relu" -> new Relu();
      case "gated" -> new Gated();
      default -> new BatchTopK(K, null);
    };
  }

  private static QualityCase saeLens(QualitySize size, String family) {
    Activation activation = activation(family);
    TrainingConfig.Builder ours =
        TrainingConfig.saeLens(activation, size.dIn()).toBuilder()
            .lr(LR)
            .warmupSteps(WARMUP)
            .deadAfterBatches(size.deadAfterBatches());
    Map<String, Object> theirs = new LinkedHashMap<>();
    switch (family) {
      case "jumprelu" -> {
        ours.sparsityCoefficient(0.05)
            .bandwidth(JUMP_BANDWIDTH)
            .sparsityWarmupSteps(SPARSITY_WARMUP);
        theirs.put("l0_coefficient", 0.05);
        theirs.put("jumprelu_bandwidth", JUMP_BANDWIDTH);
        theirs.put("l0_warm_up_steps", SPARSITY_WARMUP);
      }
      case "relu", "gated" -> {
        ours.sparsityCoefficient(0.4).sparsityWarmupSteps(SPARSITY_WARMUP);
        theirs.put("l1_coefficient", 0.4);
        theirs.put("l1_warm_up_steps", SPARSITY_WARMUP);
      }
      default -> theirs.put("k", K);
    }
    if (family.equals("matryoshka")) {
      ours.prefixes(size.prefixes().stream().map(width -> new Prefix(width, 1)).toList());
      theirs.put("matryoshka_widths", size.prefixes());
    }
    return of(SAELENS, family, activation, true, size, ours, theirs);
  }

  private static QualityCase dictionaryLearning(QualitySize size, String family) {
    Activation activation = activation(family);
    TrainingConfig.Builder ours =
        TrainingConfig.dictionaryLearning(activation, size.dIn(), size.dSae()).toBuilder()
            .lr(LR)
            .warmupSteps(WARMUP)
            .deadAfterRows((long) size.deadAfterBatches() * size.batch());
    Map<String, Object> theirs = new LinkedHashMap<>();
    switch (family) {
      case "jumprelu" -> {
        ours.targetL0(K).bandwidth(JUMP_BANDWIDTH).sparsityWarmupSteps(SPARSITY_WARMUP);
        theirs.put("target_l0", (double) K);
        theirs.put("bandwidth", JUMP_BANDWIDTH);
        theirs.put("sparsity_warmup_steps", SPARSITY_WARMUP);
      }
      case "relu", "gated" -> {
        ours.sparsityCoefficient(0.4).sparsityWarmupSteps(SPARSITY_WARMUP);
        theirs.put("l1_penalty", 0.4);
        theirs.put("sparsity_warmup_steps", SPARSITY_WARMUP);
      }
      default -> theirs.put("k", K);
    }
    if (family.equals("matryoshka")) {
      int groups = size.prefixes().size();
      double weight = 1.0 / (groups * groups); // a weight of 1 / groups, in a mean over groups
      ours.prefixes(size.prefixes().stream().map(width -> new Prefix(width, weight)).toList());
      theirs.put("group_fractions", size.fractions());
    }
    boolean subtract = !family.equals("jumprelu"); // its JumpReLU encodes x itself
    return of(DICTIONARY_LEARNING, family, activation, subtract, size, ours, theirs);
  }

  private static QualityCase of(
      String peer,
      String family,
      Activation activation,
      boolean subtract,
      QualitySize size,
      TrainingConfig.Builder ours,
      Map<String, Object> theirs) {
    theirs.put("lr", LR);
    theirs.put("warmup_steps", WARMUP);
    return new QualityCase(
        peer,
        family,
        new SaeConfig(size.dIn(), size.dSae(), activation, subtract, Normalization.NONE),
        ours.tokens(size.rows())
            .batch(size.batch())
            .bufferRows(size.batch()) // a batch is the next rows of the file, as for the peers
            .checkpointSteps(0)
            .build(),
        theirs);
  }
}
