package io.faithfulsae.study;

import io.faithfulsae.ActivationSources;
import io.faithfulsae.HookPoint;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.internal.Rng;
import io.faithfulsae.internal.Rng.Purpose;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.generate.FaithfulDataset;
import io.faithfulsae.models.generate.GenerationConfig;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.StudyConfig.DataSet;
import io.faithfulsae.study.StudyPlan.ModelPlan;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingRun;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.stream.Stream;

/** Counts what a study of a model will do, and tries out how long such things take here. */
final class Planner {
  private static final int TRIAL_STEPS = 4;
  private static final int SAMPLED = 64;
  private static final int SAMPLED_LENGTH = 12;

  private final StudyConfig config;
  private final OnnxModel model;
  private final Tokenizer tokenizer;
  private final HookPoint hook;
  private final Backend backend;
  private final int context;
  private final int saes;

  Planner(
      StudyConfig config,
      OnnxModel model,
      Tokenizer tokenizer,
      HookPoint hook,
      Backend backend,
      int context) {
    this.config = config;
    this.model = model;
    this.tokenizer = tokenizer;
    this.hook = hook;
    this.backend = backend;
    this.context = context;
    this.saes = config.seeds().size() * config.sae().k().size();
  }

  /**
   * Makes the plan.
   *
   * @param tasks number of text tasks
   * @param kept steps that are done
   */
  ModelPlan plan(String name, int tasks, int kept) throws IOException {
    int sets = config.dataSets().size();
    int pairs = sets * sets;
    int steps = sets * (5 + CurveSteps.countPerDataSet(config)) + pairs + tasks;
    long generated =
        config.dataSets().stream()
            .filter(set -> set.generate() != null)
            .mapToLong(set -> set.generate().tokens())
            .sum();
    long fake =
        config.fakeFeatures().tokens() + (long) config.fakeFeatures().textSequences() * context;
    long probed = (long) tasks * 2 * config.probing().maxExamples() * context;
    long evaluated = config.evaluation().rows() + 2 * config.evaluation().ceTokens();
    long hookTokens =
        sets * (config.training().tokens() + fake + hookTokensOfCurves())
            + pairs * evaluated
            + probed;
    long logitTokens =
        pairs * config.evaluation().ceTokens() * (3 + saes) + sets * logitTokensOfCurves();
    int dIn = model.dModel();
    long parameters = 2L * dIn * config.sae().dSae() + config.sae().dSae() + dIn;
    // Weights and both moments in a checkpoint, of which the last two are kept, and the SAE.
    long saeBytes = parameters * Float.BYTES * (1 + 2 * 3);
    long buffer = 2L * config.training().bufferRows() * dIn * Float.BYTES;
    long textBytes = (generated + textTokens()) * 12;
    return new ModelPlan(
        name,
        steps,
        Math.min(kept, steps),
        sets * saes,
        parameters,
        generated,
        config.training().tokens(),
        hookTokens,
        logitTokens,
        (long) sets * saes * saeBytes + sets * buffer + textBytes,
        kept >= steps
            ? 0
            : generated * secondsToSample()
                + hookTokens * secondsToHook()
                + logitTokens * secondsToLogits()
                + sets * config.training().tokens() * saes * secondsToTrain());
  }

  /** Of each data set. */
  private long hookTokensOfCurves() {
    StudyConfig.ByK byK = config.kCurve();
    StudyConfig.Subsets subsets = config.featureSubsets();
    long seeds = config.seeds().size();
    long pairsOfSeeds = config.sae().k().size() * seeds * (seeds - 1) / 2;
    return (byK.multiples().isEmpty()
            ? 0
            : config.sae().k().size() * (byK.rows() + 2 * byK.ceTokens() + byK.fakeTokens()))
        + (subsets.rankBy().isEmpty()
            ? 0
            : subsets.rankingRows() + saes * (subsets.rows() + 2 * subsets.ceTokens()))
        + 5L * config.fakeVariants().sequences() * context
        + pairsOfSeeds * config.seedAgreement().rows();
  }

  /** Of each data set: each SAE with each k, and with each part of its latents. */
  private long logitTokensOfCurves() {
    StudyConfig.ByK byK = config.kCurve();
    StudyConfig.Subsets subsets = config.featureSubsets();
    long views = (long) saes * byK.multiples().size();
    long parts = saes * (4L + 2L * subsets.rankBy().size() * subsets.shares().size());
    return (byK.multiples().isEmpty() ? 0 : byK.ceTokens() * (3L * config.sae().k().size() + views))
        + (subsets.rankBy().isEmpty() ? 0 : subsets.ceTokens() * parts);
  }

  private long textTokens() throws IOException {
    long tokens = 0;
    for (DataSet set : config.dataSets()) {
      Long limit = set.tokens();
      String file = set.file();
      if (limit != null) {
        tokens += limit;
      } else if (file != null && !file.equals("embedded") && Files.exists(Path.of(file))) {
        tokens += bytes(Path.of(file)) / 3; // some letters are a token
      }
    }
    return tokens;
  }

  private static long bytes(Path fileOrFolder) throws IOException {
    long bytes = 0;
    try (Stream<Path> files = Files.walk(fileOrFolder)) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        bytes += Files.size(file);
      }
    }
    return bytes;
  }

  private double secondsToHook() {
    int[][] tokens = randomTokens();
    FloatBuffer into = floats((long) tokens.length * context * model.dModel());
    return secondsOfSecond(() -> model.activations(hook, tokens, into)) / tokens.length / context;
  }

  private double secondsToLogits() {
    // One sequence where a whole batch of logits would not fit.
    long perSequence = (long) context * model.vocabularySize();
    int sequences = (int) Math.max(1, Math.min(config.batchSequences(), (1 << 26) / perSequence));
    FloatBuffer activations = floats((long) sequences * context * model.dModel());
    FloatBuffer logits = floats(sequences * perSequence);
    return secondsOfSecond(() -> model.logitsFrom(hook, activations, sequences, context, logits))
        / sequences
        / context;
  }

  private double secondsToTrain() throws IOException {
    int dIn = model.dModel();
    int batch = config.training().batch();
    float[] rows = new float[2 * batch * dIn];
    Rng random = new Rng(Purpose.TRIALS, 1);
    for (int i = 0; i < rows.length; i++) {
      rows[i] = (float) random.nextGaussian();
    }
    SaeConfig shape = SaeConfig.topK(dIn, config.sae().dSae(), config.sae().k().get(0));
    TrainingConfig few =
        TrainingConfig.builder()
            .tokens((long) TRIAL_STEPS * batch)
            .batch(batch)
            .bufferRows(batch)
            .build();
    Path folder = Files.createTempDirectory("plan");
    try {
      long start = System.nanoTime();
      try (TrainingRun run =
          SaeTrainer.of(shape, few, backend).start(ActivationSources.ofArray(rows, dIn), folder)) {
        run.await();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new IOException("interrupted", e);
      }
      return (System.nanoTime() - start) / 1e9 / TRIAL_STEPS / batch;
    } finally {
      delete(folder);
    }
  }

  private double secondsToSample() throws IOException {
    if (config.dataSets().stream().allMatch(set -> set.generate() == null)) {
      return 0;
    }
    Path folder = Files.createTempDirectory("plan");
    try {
      long start = System.nanoTime();
      FaithfulDataset.Result result =
          FaithfulDataset.write(
              model,
              tokenizer,
              new GenerationConfig(
                  (long) SAMPLED * SAMPLED_LENGTH, SAMPLED_LENGTH, 1, 1, 1, SAMPLED),
              folder.resolve("trial.jsonl"),
              progress -> true);
      return (System.nanoTime() - start) / 1e9 / result.tokens();
    } finally {
      delete(folder);
    }
  }

  /** The first run also optimises the graph and fills caches. */
  private static double secondsOfSecond(Runnable run) {
    run.run();
    long start = System.nanoTime();
    run.run();
    return (System.nanoTime() - start) / 1e9;
  }

  private int[][] randomTokens() {
    Rng random = new Rng(Purpose.TRIALS, 1);
    int[][] tokens = new int[config.batchSequences()][context];
    for (int[] sequence : tokens) {
      for (int t = 0; t < context; t++) {
        sequence[t] = t == 0 ? model.bosToken() : random.nextInt(model.vocabularySize());
      }
    }
    return tokens;
  }

  private static FloatBuffer floats(long count) {
    return ByteBuffer.allocateDirect(Math.toIntExact(count * Float.BYTES))
        .order(ByteOrder.nativeOrder())
        .asFloatBuffer();
  }

  private static void delete(Path folder) throws IOException {
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(file);
      }
    }
  }
}
