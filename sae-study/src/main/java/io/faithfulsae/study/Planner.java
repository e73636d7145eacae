package io.faithfulsae.study;

import io.faithfulsae.ActivationSources;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.generate.FaithfulDataset;
import io.faithfulsae.models.generate.GenerationConfig;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import io.faithfulsae.study.StudyConfig.DataSet;
import io.faithfulsae.study.StudyPlan.ModelPlan;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingRun;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.TreeSet;
import java.util.stream.Stream;

/** Counts what a study of a model will do, and measures how fast this machine does it. */
final class Planner {
  private static final int TRIAL_STEPS = 4;
  private static final int SAMPLED = 64;
  private static final int SAMPLED_LENGTH = 12;

  private final StudyContext on;
  private final StudyConfig config;
  private final OnnxModel model;
  private final int context;
  private final Grid grid;
  private final int saes;

  Planner(StudyContext on) {
    this.on = on;
    this.config = on.config();
    this.model = on.model();
    this.context = on.context();
    this.grid = on.grid();
    this.saes = grid.cells().size();
  }

  /**
   * Makes the plan. What is done once for several entries is counted for the entry whose folder
   * holds it.
   *
   * @param tasks number of text tasks
   * @param kept number of completed steps
   */
  ModelPlan plan(int tasks, int kept) throws IOException {
    int sets = config.dataSets().size();
    int pairs = sets * sets;
    boolean owner = on.sharing().owner(on.name()).equals(on.name());
    List<DataSet> sampled = config.dataSets().stream().filter(this::samples).toList();
    List<Integer> trained =
        owner ? TrainStep.sizes(on.sharing(), on.name(), model.dModel()) : List.of();
    // Matching, fake features and the common text; the data sets' own steps; their training.
    int steps = sampled.size() + sets * (3 + CurveSteps.countPerDataSet(config)) + pairs + tasks;
    if (owner) {
      steps += sets + config.dataSets().stream().mapToInt(s -> TextSteps.count(config, s)).sum();
    }
    long generated =
        sampled.stream().mapToLong(set -> Objects.requireNonNull(set.generate()).tokens()).sum();
    long fake =
        config.fakeFeatures().tokens() + (long) config.fakeFeatures().textSequences() * context;
    long probed = (long) tasks * 2 * config.probing().maxExamples() * context;
    long evaluated = config.evaluation().rows() + 2 * config.evaluation().ceTokens();
    long harvested = owner ? sets * config.training().tokens() : 0;
    long hookTokens =
        harvested + sets * (fake + hookTokensOfCurves()) + (pairs + sets) * evaluated + probed;
    long logitTokens =
        (pairs + sets) * config.evaluation().ceTokens() * (3 + saes) + sets * logitTokensOfCurves();
    int dIn = model.dModel();
    // Weights and both moments in a checkpoint, of which the last two are kept, plus the SAE.
    long saeBytes =
        trained.stream().mapToLong(dSae -> parameters(dIn, dSae) * Float.BYTES * (1 + 2 * 3)).sum();
    long buffer = owner ? 2L * config.training().bufferRows() * dIn * Float.BYTES : 0;
    long textBytes = (generated + (owner ? textTokens(generated) : 0)) * 12;
    return new ModelPlan(
        on.name(),
        steps,
        Math.min(kept, steps),
        sets * trained.size(),
        sets * saes,
        grid.variants().stream().mapToLong(v -> parameters(dIn, v.dSae())).max().orElseThrow(),
        generated,
        config.training().tokens(),
        harvested,
        hookTokens,
        logitTokens,
        sets * (saeBytes + buffer) + textBytes,
        kept >= steps
            ? 0
            : generated * secondsToSample(sampled)
                + hookTokens * secondsToHook()
                + logitTokens * secondsToLogits()
                + harvested * secondsToTrain(trained));
  }

  private static long parameters(long dIn, long dSae) {
    return 2 * dIn * dSae + dSae + dIn;
  }

  /** Whether it is sampled in this entry's own folder. */
  private boolean samples(DataSet set) {
    return set.generate() != null
        && on.sharing().sampled(on.name(), set).equals(new Sharing.Source(on.name(), set));
  }

  /** For each data set. */
  private long hookTokensOfCurves() {
    StudyConfig.ByK byK = config.kCurve();
    StudyConfig.Subsets subsets = config.featureSubsets();
    long seeds = config.seeds().size();
    long pairsOfSeeds = grid.variants().size() * seeds * (seeds - 1) / 2;
    return (byK.multiples().isEmpty()
            ? 0
            : grid.variants().size() * (byK.rows() + 2 * byK.ceTokens() + byK.fakeTokens()))
        + (subsets.rankBy().isEmpty()
            ? 0
            : subsets.rankingRows() + saes * (subsets.rows() + 2 * subsets.ceTokens()))
        + 5L * config.fakeVariants().sequences() * context
        + pairsOfSeeds * config.seedAgreement().rows();
  }

  /** For each data set: each SAE with each k, and with each subset of its latents. */
  private long logitTokensOfCurves() {
    StudyConfig.ByK byK = config.kCurve();
    StudyConfig.Subsets subsets = config.featureSubsets();
    long views = (long) saes * byK.multiples().size();
    long parts = saes * (4L + 2L * subsets.rankBy().size() * subsets.shares().size());
    return (byK.multiples().isEmpty() ? 0 : byK.ceTokens() * (3L * grid.variants().size() + views))
        + (subsets.rankBy().isEmpty() ? 0 : subsets.ceTokens() * parts);
  }

  /** Text that is not sampled; a mixture is at most as long as its parts together. */
  private long textTokens(long generated) throws IOException {
    long tokens = 0;
    for (DataSet set : config.dataSets()) {
      Long limit = set.tokens();
      String file = set.file();
      if (limit != null) {
        tokens += limit;
      } else if (file != null && !file.equals("embedded") && Files.exists(Path.of(file))) {
        tokens += bytes(Path.of(file)) / 3; // a token is a few letters
      }
    }
    long mixtures =
        config.dataSets().stream()
            .filter(set -> set.mixture() != null && set.tokens() == null)
            .count();
    tokens += mixtures * (tokens + generated);
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
    FloatBuffer into = DirectBuffers.floats((long) tokens.length * context * model.dModel());
    return secondsOfSecond(() -> model.activations(on.hook(), tokens, into))
        / tokens.length
        / context;
  }

  private double secondsToLogits() {
    // One sequence if a whole batch of logits would not fit.
    long perSequence = (long) context * model.vocabularySize();
    int sequences = (int) Math.max(1, Math.min(config.batchSequences(), (1 << 26) / perSequence));
    FloatBuffer activations = DirectBuffers.floats((long) sequences * context * model.dModel());
    FloatBuffer logits = DirectBuffers.floats(sequences * perSequence);
    return secondsOfSecond(
            () -> model.logitsFrom(on.hook(), activations, sequences, context, logits))
        / sequences
        / context;
  }

  /** Per row, for all SAEs together; each size is measured once. */
  private double secondsToTrain(List<Integer> sizes) throws IOException {
    double seconds = 0;
    for (int dSae : new TreeSet<>(sizes)) {
      seconds += secondsToTrain(dSae) * sizes.stream().filter(size -> size == dSae).count();
    }
    return seconds;
  }

  private double secondsToTrain(int dSae) throws IOException {
    int dIn = model.dModel();
    int batch = config.training().batch();
    float[] rows = new float[2 * batch * dIn];
    Rng random = new Rng(Purpose.TRIALS, 1);
    for (int i = 0; i < rows.length; i++) {
      rows[i] = (float) random.nextGaussian();
    }
    SaeConfig shape = SaeConfig.topK(dIn, dSae, Math.min(dSae, config.sae().k().get(0)));
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
          SaeTrainer.of(shape, few, on.backend())
              .start(ActivationSources.ofArray(rows, dIn), folder)) {
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

  private double secondsToSample(List<DataSet> sampled) throws IOException {
    if (sampled.isEmpty()) {
      return 0;
    }
    Path folder = Files.createTempDirectory("plan");
    try {
      long start = System.nanoTime();
      FaithfulDataset.Result result =
          FaithfulDataset.write(
              model,
              on.tokenizer(),
              new GenerationConfig(
                  (long) SAMPLED * SAMPLED_LENGTH, SAMPLED_LENGTH, 1, 1, 1, SAMPLED),
              folder.resolve("trial.jsonl"),
              progress -> true);
      return (System.nanoTime() - start) / 1e9 / result.tokens();
    } finally {
      delete(folder);
    }
  }

  /** The first run also optimizes the graph and warms caches. */
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

  private static void delete(Path folder) throws IOException {
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(file);
      }
    }
  }
}
