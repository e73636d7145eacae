package io.faithfulsae.cli;

import static io.faithfulsae.cli.Tiny.sae;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.study.compare.ResultFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code sae probe} on the embedded model, with tasks in their published layouts. */
final class ProbeCommandTest {
  @TempDir static Path dir;

  private static Path data;
  private static Path first;
  private static Path second;

  @BeforeAll
  static void train() throws IOException {
    data = dir.resolve("tasks");
    Random random = new Random(2);
    sst2(data.resolve("sst2/train.tsv"), random, 160);
    sst2(data.resolve("sst2/test.tsv"), random, 60);
    cola(data.resolve("cola/in_domain_train.tsv"), random, 80);
    cola(data.resolve("cola/in_domain_dev.tsv"), random, 20);
    cola(data.resolve("cola/out_of_domain_dev.tsv"), random, 20);
    Path text = Files.writeString(dir.resolve("text.txt"), "the dog was happy. ".repeat(300));
    first = train(text, 1);
    second = train(text, 2);
  }

  private static Path train(Path text, int seed) {
    Path out = dir.resolve("sae-" + seed);
    sae(
            "train",
            "--hook",
            "blocks.1.hook_resid_pre",
            "--data",
            text,
            "--d-sae",
            64,
            "--k",
            8,
            "--tokens",
            4_000,
            "--batch",
            200,
            "--context",
            32,
            "--seed",
            seed,
            "--out",
            out)
        .ok();
    return out;
  }

  /** Sentences about dogs, labelled 1, and about cats: easy for the model to distinguish. */
  private static String sentence(Random random, boolean dog) {
    String[] verbs = {"ran", "sat", "slept", "played", "ate"};
    return "the %s %s and the %s %s ."
        .formatted(
            dog ? "dog" : "cat",
            verbs[random.nextInt(5)],
            random.nextBoolean() ? "girl" : "boy",
            verbs[random.nextInt(5)]);
  }

  private static void sst2(Path file, Random random, int rows) throws IOException {
    StringBuilder lines = new StringBuilder("sentence\tlabel\n");
    for (int i = 0; i < rows; i++) {
      boolean dog = random.nextBoolean();
      lines.append(sentence(random, dog)).append('\t').append(dog ? 1 : 0).append('\n');
    }
    Files.createDirectories(file.getParent());
    Files.writeString(file, lines);
  }

  private static void cola(Path file, Random random, int rows) throws IOException {
    StringBuilder lines = new StringBuilder();
    for (int i = 0; i < rows; i++) {
      boolean good = i % 2 == 0;
      lines.append(
          "x%02d\t%d\t%s\t%s\n"
              .formatted(i, good ? 1 : 0, good ? "" : "*", sentence(random, good)));
    }
    Files.createDirectories(file.getParent());
    Files.writeString(file, lines);
  }

  @Test
  void tellsClassesApartAndWritesWhatCompareReads() throws IOException {
    Path out = dir.resolve("probing.json");
    Tiny.Ran ran = sae("probe", "--sae", first + "," + second, "--data", data, "--out", out).ok();
    assertTrue(ran.out().contains("sst2") && ran.out().contains("cola"), ran.out());
    JsonNode runs = new JsonMapper().readTree(out.toFile());
    assertEquals(1, runs.size(), "two seeds of one data set");
    assertEquals("[1,2]", runs.get(0).path("run").path("seeds").toString());
    JsonNode result = runs.get(0).path("result");
    for (String task : List.of("sst2", "cola")) {
      assertTrue(result.path(task).path("baseline_acc").asDouble() > 0.95, result.toString());
      assertTrue(result.path(task).path("baseline_f1").asDouble() > 0.95, result.toString());
      assertTrue(result.path(task).path("sae_acc").asDouble() > 0.6, result.toString());
    }
    JsonNode details = new JsonMapper().readTree(dir.resolve("probing.details.json").toFile());
    assertEquals(2, details.size());
    double mean =
        (details
                    .path(first.toString())
                    .get(0)
                    .path("sae")
                    .path("accuracy")
                    .path("estimate")
                    .asDouble()
                + details
                    .path(second.toString())
                    .get(0)
                    .path("sae")
                    .path("accuracy")
                    .path("estimate")
                    .asDouble())
            / 2;
    String task = details.path(first.toString()).get(0).path("task").asText();
    assertEquals(mean, result.path(task).path("sae_acc").asDouble(), 1e-12);
    assertEquals(1, ResultFile.read(out).size());
    assertTrue(Files.size(dir.resolve("probing.png")) > 1000);
  }

  @Test
  void authorsProtocolAndOwnTasks() throws IOException {
    Path tasks =
        Files.writeString(
            dir.resolve("mine.yaml"),
            """
            animals:
              classes: [cat, dog]
              train: {files: tasks/sst2/train.tsv, text: sentence, label: label, labels: {"0": cat, "1": dog}}
              test: {files: tasks/sst2/test.tsv, text: sentence, label: label, labels: {"0": cat, "1": dog}}
            """);
    Path out = dir.resolve("authors.json");
    sae("probe", "--sae", first, "--tasks", tasks, "--protocol", "authors", "--out", out).ok();
    JsonNode result = new JsonMapper().readTree(out.toFile()).get(0).path("result");
    assertTrue(result.path("animals").has("recon_f1"), result.toString());
  }

  @Test
  void badInputIsNamed() throws IOException {
    Path out = dir.resolve("none.json");
    Path empty = Files.createDirectories(dir.resolve("empty"));
    Tiny.Ran none = sae("probe", "--sae", first, "--data", empty, "--out", out);
    assertEquals(2, none.code());
    assertTrue(none.err().contains("sst2"), none.err());
    Tiny.Ran protocol =
        sae("probe", "--sae", first, "--data", data, "--protocol", "best", "--out", out);
    assertEquals(2, protocol.code());
    assertTrue(protocol.err().contains("CLEAN"), protocol.err());
    Path tasks =
        Files.writeString(
            dir.resolve("wrong.yaml"),
            """
            t:
              classes: ["0"]
              train: {files: tasks/sst2/train.tsv, text: sentence, label: label}
              test: {files: tasks/sst2/test.tsv, text: sentence, label: label}
            """);
    Tiny.Ran label = sae("probe", "--sae", first, "--tasks", tasks, "--out", out);
    assertEquals(1, label.code());
    assertTrue(label.err().contains("train.tsv") && label.err().contains("got 1"), label.err());
  }
}
