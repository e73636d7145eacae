package io.faithfulsae.study;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.CheckedJson;
import io.faithfulsae.io.RegularFile;
import io.faithfulsae.random.Rng;
import io.faithfulsae.study.provenance.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * The steps of a study, each in its own folder and run at most once: a step's result is stored with
 * a key of its inputs, and a later run with the same inputs reads it. An interrupted step finds its
 * folder as it left it; if the inputs change, the folder is emptied first.
 */
final class StepCache {
  /** The folder of a model's steps within the model's folder. */
  static final String FOLDER = "steps";

  private static final String DONE = "step.json";
  private static final String BEGUN = "begun.txt";

  private final Path dir;
  private final Consumer<String> onStep;
  private final Map<String, Double> seconds = new LinkedHashMap<>();
  private int done;

  /** The work of a step; files that it keeps besides its result go into {@code folder}. */
  interface Work {
    Object run(Path folder) throws IOException;
  }

  /**
   * A step's result.
   *
   * @param key hash of the step's name, inputs and random generator, to be an input of dependent
   *     steps
   * @param folder where the step keeps its files
   */
  record Outcome<T>(T result, String key, Path folder) {}

  /**
   * Incremented whenever a step's result gets other fields, so that results of an older version are
   * recomputed rather than misread.
   */
  private static final int LAYOUT = 4;

  private record Kept(String key, JsonNode inputs, double seconds, JsonNode result) {}

  StepCache(Path dir, Consumer<String> onStep) {
    this.dir = dir;
    this.onStep = onStep;
  }

  /** A step by the name of its folder. */
  Step step(String name) {
    return new Step(name);
  }

  /** One step. */
  final class Step {
    private final String name;

    private Step(String name) {
      this.name = name;
    }

    /**
     * Runs the step unless it is done.
     *
     * @param inputs everything that the result depends on, as JSON
     */
    <T> Outcome<T> run(Object inputs, Class<T> type, Work work) throws IOException {
      return StepCache.this.run(name, inputs, type, work);
    }
  }

  private <T> Outcome<T> run(String name, Object inputs, Class<T> type, Work work)
      throws IOException {
    Path folder = dir.resolve(name);
    JsonNode tree = Json.tree(inputs);
    String key = Json.hash(Map.of("layout", LAYOUT, "random", Rng.ALGORITHM, name, tree));
    Path file = folder.resolve(DONE);
    Kept record = Files.exists(file) ? read(file) : null;
    if (record == null || !record.key().equals(key)) {
      prepare(folder, key);
      onStep.accept(name);
      long start = System.nanoTime();
      JsonNode result = Json.tree(work.run(folder));
      record = new Kept(key, tree, (System.nanoTime() - start) / 1e9, result);
      CheckedJson.write(file, (ObjectNode) Json.tree(record));
      done++;
    }
    seconds.put(name, record.seconds());
    return new Outcome<>(Json.read(record.result(), type), key, folder);
  }

  /** Whether an earlier run did a step, even if its inputs have changed since. */
  boolean isKept(String name) {
    return Files.exists(dir.resolve(name).resolve(DONE));
  }

  /** Steps run since, not counting those already done. */
  int done() {
    return done;
  }

  /** Seconds that each step took when it was run. */
  Map<String, Double> seconds() {
    return seconds;
  }

  private static Kept read(Path file) throws IOException {
    return Json.read(CheckedJson.read(file, "delete its folder to redo the step"), Kept.class);
  }

  private static void prepare(Path folder, String key) throws IOException {
    Path begun = folder.resolve(BEGUN);
    if (!Files.exists(begun) || !RegularFile.readString(begun).equals(key)) {
      delete(folder);
      Files.createDirectories(folder);
      AtomicFile.writeString(begun, key);
    }
  }

  private static void delete(Path folder) throws IOException {
    if (!Files.exists(folder)) {
      return;
    }
    try (Stream<Path> inside = Files.walk(folder)) {
      for (Path path : inside.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(path);
      }
    }
  }
}
