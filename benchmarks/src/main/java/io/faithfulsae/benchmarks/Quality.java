package io.faithfulsae.benchmarks;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.Backends;
import io.faithfulsae.Sae;
import io.faithfulsae.ShardWriter;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.GroundTruth;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Trains every family with each peer's preset on activations whose features are known, and measures
 * our SAEs and those that the peers' own trainers saved ({@code peers/quality.py}) in the same way.
 * {@code run-quality.sh} does all steps.
 *
 * <p>In the folder: {@code rows} (a shard of the training rows) and {@code plan.json} for the
 * peers, {@code ours} and {@code theirs} with a folder for each trainer and seed, {@code
 * quality.json}.
 */
public final class Quality {
  /** Cosine above which a latent stands for a feature. */
  static final double FOUND = 0.9;

  private final Path dir;
  private final QualitySize size;

  Quality(Path dir, QualitySize size) {
    this.dir = dir;
    this.size = size;
  }

  /**
   * Does one step.
   *
   * @param args {@code prepare}, {@code train} or {@code evaluate}; the folder; the size, as {@link
   *     QualitySize#parse} reads it
   */
  public static void main(String[] args) throws IOException, InterruptedException {
    if (args.length != 3) {
      throw new IllegalArgumentException(
          Expected.message(
              "STEP DIR SIZE", args.length + " arguments", "name a step, a folder and a size"));
    }
    Quality quality = new Quality(Path.of(args[1]), QualitySize.parse(args[2]));
    switch (args[0]) {
      case "prepare" -> quality.prepare();
      case "train" -> quality.train();
      case "evaluate" -> quality.evaluate();
      default ->
          throw new IllegalArgumentException(
              Expected.message("prepare, train or evaluate", args[0], "name one of them"));
    }
  }

  /** Writes the rows and the plan. */
  void prepare() throws IOException {
    Path rows = dir.resolve("rows");
    try (ShardWriter writer =
        ShardWriter.open(rows, size.trainingRows(), ShardWriter.Options.DEFAULT)) {
      while (writer.advance()) {}
    }
    List<Map<String, Object>> cases = new ArrayList<>();
    for (QualityCase one : QualityCase.all(size)) {
      cases.add(
          Map.of(
              "name", one.name(),
              "peer", one.peer(),
              "family", one.family(),
              "theirs", one.theirs()));
    }
    write(
        "plan.json",
        Map.of("size", size, "dead_after_batches", size.deadAfterBatches(), "cases", cases));
  }

  /** Trains all of ours in one pass over the rows, each as it would be alone. */
  void train() throws IOException, InterruptedException {
    ActivationSource rows = ActivationSources.ofShards(dir.resolve("rows"));
    try (Backend backend = Backends.open("cpu")) {
      List<SaeTrainer> trainers = new ArrayList<>();
      List<Path> folders = new ArrayList<>();
      for (QualityCase one : QualityCase.all(size)) {
        for (int seed = 1; seed <= size.seeds(); seed++) {
          trainers.add(
              SaeTrainer.of(one.sae(), one.ours().toBuilder().seed(seed).build(), backend));
          folders.add(folder("ours", one, seed));
        }
      }
      for (TrainingRun run : SaeTrainer.startTogether(trainers, rows, folders)) {
        run.await();
      }
    }
  }

  /** Measures all SAEs of both sides on the held-out rows. */
  void evaluate() throws IOException {
    List<Map<String, Object>> results = new ArrayList<>();
    try (Backend backend = Backends.open("cpu")) {
      for (QualityCase one : QualityCase.all(size)) {
        for (String side : List.of("ours", "theirs")) {
          for (int seed = 1; seed <= size.seeds(); seed++) {
            try (Sae sae = Sae.load(folder(side, one, seed), backend)) {
              results.add(result(one, side, seed, sae));
            }
          }
        }
      }
    }
    write("quality.json", Map.of("size", size, "k", QualityCase.K, "results", results));
  }

  private Map<String, Object> result(QualityCase one, String side, int seed, Sae sae)
      throws IOException {
    GroundTruth truth = Metrics.groundTruth(sae, size.heldOutRows(), size.heldOut(), FOUND);
    Map<String, Object> result = new LinkedHashMap<>();
    result.put("peer", one.peer());
    result.put("family", one.family());
    result.put("side", side);
    result.put("seed", seed);
    result.put("found", truth.recovered());
    result.put("mean_max_cosine", truth.meanMaxCosine());
    result.put("fvu", truth.reconstruction().fvu());
    result.put("l0", truth.reconstruction().l0());
    result.put("true_l0", truth.trueL0());
    result.put("dead", truth.reconstruction().deadShare());
    return result;
  }

  private Path folder(String side, QualityCase one, int seed) {
    Path folder = dir.resolve(side).resolve(one.name() + "-" + seed);
    boolean below = side.equals("theirs") && one.peer().equals(QualityCase.DICTIONARY_LEARNING);
    return below ? folder.resolve("trainer_0") : folder; // as its training loop names it
  }

  private void write(String name, Object value) throws IOException {
    Files.createDirectories(dir);
    new ObjectMapper()
        .writerWithDefaultPrettyPrinter()
        .writeValue(dir.resolve(name).toFile(), value);
  }
}
