package io.faithfulsae.study;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.CheckedJson;
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
 * The steps of a study, each in its own folder and done at most once: a step's result is kept under
 * a key of its inputs, and a later start with the same inputs reads it. A step that was stopped
 * half-way finds its folder as it left it; when the inputs change, the folder is emptied first.
 */
final class Steps {
  /** Where a model's steps are, within its folder. */
  static final String FOLDER = "steps";

  private static final String DONE = "step.json";
  private static final String BEGUN = "begun.txt";

  private final Path dir;
  private final Consumer<String> onStep;
  private final Map<String, Double> seconds = new LinkedHashMap<>();
  private int done;

  /** The work of a step; what it keeps besides its result goes into {@code folder}. */
  interface Work {
    Object run(Path folder) throws IOException;
  }

  /**
   * A step's result.
   *
   * @param key hash of the step's name, inputs and generator of random numbers, to be an input of
   *     the steps that build on it
   * @param folder where the step keeps its files
   */
  record Outcome<T>(T result, String key, Path folder) {}

  /**
   * Raised whenever a step's result gets other fields, so that what an older program kept is made
   * anew instead of being read wrongly.
   */
  private static final int LAYOUT = 4;

  private record Kept(String key, JsonNode inputs, double seconds, JsonNode result) {}

  Steps(Path dir, Consumer<String> onStep) {
    this.dir = dir;
    this.onStep = onStep;
  }

  /**
   * Does a step unless it is done.
   *
   * @param name names the folder
   * @param inputs all that the result depends on, as JSON
   */
  <T> Outcome<T> run(String name, Object inputs, Class<T> type, Work work) throws IOException {
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

  /** Steps that an earlier start has done, whether or not their inputs are still the same. */
  int kept() throws IOException {
    if (!Files.isDirectory(dir)) {
      return 0;
    }
    try (Stream<Path> folders = Files.list(dir)) {
      return (int) folders.filter(folder -> Files.exists(folder.resolve(DONE))).count();
    }
  }

  /** Steps that this start has done, not found done. */
  int done() {
    return done;
  }

  /** Seconds that each step took when it was done. */
  Map<String, Double> seconds() {
    return seconds;
  }

  private static Kept read(Path file) throws IOException {
    return Json.read(
        CheckedJson.read(file, "delete its folder, and the step is done again"), Kept.class);
  }

  private static void prepare(Path folder, String key) throws IOException {
    Path begun = folder.resolve(BEGUN);
    if (!Files.exists(begun) || !Files.readString(begun).equals(key)) {
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
