package io.faithfulsae.study;

import io.faithfulsae.ActivationSources;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.generate.FaithfulDataset;
import io.faithfulsae.models.generate.GenerationConfig;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingRun;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.TreeSet;
import java.util.stream.Stream;

/** Measures, in short trials, how fast this machine does what a study of a model consists of. */
final class MachineSpeed {
  private static final int TRIAL_STEPS = 4;
  private static final int SAMPLED = 64;
  private static final int SAMPLED_LENGTH = 12;

  private final StudyContext on;
  private final StudyConfig config;
  private final OnnxModel model;
  private final int context;

  MachineSpeed(StudyContext on) {
    this.on = on;
    this.config = on.config();
    this.model = on.model();
    this.context = on.context();
  }

  /**
   * The time that work will take.
   *
   * @param trained number of latents of each SAE that is trained on the harvested tokens
   */
  double seconds(Cost cost, List<Integer> trained) throws IOException {
    return cost.sampledTokens() * (cost.sampledTokens() == 0 ? 0 : secondsToSample())
        + cost.hookTokens() * secondsToHook()
        + cost.logitTokens() * secondsToLogits()
        + cost.harvestedTokens() * (cost.harvestedTokens() == 0 ? 0 : secondsToTrain(trained));
  }

  private double secondsToHook() {
    int[][] tokens = randomTokens();
    FloatBuffer into =
        DirectBuffers.floats((long) tokens.length * context * model.width(on.hook()));
    return secondsOfSecond(() -> model.activations(on.hook(), tokens, into))
        / tokens.length
        / context;
  }

  private double secondsToLogits() {
    // One sequence if a whole batch of logits would not fit.
    long perSequence = (long) context * model.vocabularySize();
    int sequences = (int) Math.max(1, Math.min(config.batchSequences(), (1 << 26) / perSequence));
    FloatBuffer activations =
        DirectBuffers.floats((long) sequences * context * model.width(on.hook()));
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
    int dIn = model.width(on.hook());
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

  private double secondsToSample() throws IOException {
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
