package io.faithfulsae.study;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.Backends;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.provenance.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A study of several models, data sets and k. */
@Tag("slow")
final class StudyGridTest {
  private static final String SMALL = SmallStudy.TWO_SEEDS + "sae: {dSae: 40, k: [4, 8]}\n";

  @TempDir Path dir;
  private final List<String> steps = new ArrayList<>();

  @Test
  void modelsReadEachOthersTexts() throws IOException {
    String yaml =
        SMALL
            + """
            models:
              one:
                dataSets:
                  - name: own
                    generate: {tokens: 1500, maxLength: 64, temperature: 1.0, topP: 1.0, seed: 3}
                  - {name: others, from: two/own}
              two:
                sae: {k: 6}
                seeds: [1]
                dataSets:
                  - name: own
                    generate: {tokens: 1500, maxLength: 64, temperature: 0.5, topP: 1.0, seed: 4}
                  - {name: others, from: one/own}
            """;
    Path out = dir.resolve("out");
    Study.Outcome outcome = run(yaml, out);
    assertEquals(List.of(), outcome.failures());
    JsonNode models = Json.mapper().readTree(outcome.results().toFile()).path("models");
    assertEquals(2, models.size());
    assertEquals(8, models.get(0).path("saes").size(), "two data sets, two k, two seeds");
    assertEquals(4, models.get(0).path("seedPairs").size(), "seeds are paired within a k");
    assertEquals(8, models.get(0).path("comparisons").size(), "SFR, FFR, CE and EV of each k");
    assertEquals(2, models.get(1).path("saes").size());
    assertEquals(0, models.get(1).path("seedPairs").size());
    assertEquals(
        models.get(1).path("dataSets").get(0).path("hash"),
        models.get(0).path("dataSets").get(1).path("hash"),
        "with the same tokenizer, both models see the same tokens");
    String report = Files.readString(outcome.report());
    assertTrue(report.contains("own-k4-1") && report.contains("<section id=\"two\">"));
    assertFalse(
        steps.stream().anyMatch(step -> step.matches(".*(k-curve|subsets|variants|agreement).*")),
        "disabled steps must not run: " + steps);
    assertEquals(0, run(yaml, out).stepsDone());
  }

  @Test
  void failedPartDoesNotLoseTheOthersAndIsTriedAgain() throws IOException {
    String yaml =
        SMALL
            + """
            dataSets:
              - {name: good, file: embedded, tokens: 1500}
              - {name: late, file: late.txt}
              - {name: both, mixture: {good: 0.5, late: 0.5}}
            """;
    Path out = dir.resolve("out");
    Study.Outcome first = run(yaml, out);
    assertEquals(1, first.failures().size(), "the mixture has no failure of its own");
    assertTrue(first.failures().get(0).contains("late.txt"), first.failures().toString());
    JsonNode model = Json.mapper().readTree(first.results().toFile()).path("models").get(0);
    assertEquals(4, model.path("saes").size(), "the other data set's SAEs");
    assertEquals("data-late", model.path("failures").get(0).path("part").asText());
    assertTrue(Files.readString(first.report()).contains("What failed"));

    Files.writeString(dir.resolve("late.txt"), "it was a very sunny day. ".repeat(200));
    Study.Outcome second = run(yaml, out);
    assertEquals(List.of(), second.failures());
    assertFalse(steps.contains("data-good"), steps.toString());
    assertEquals(
        12,
        Json.mapper()
            .readTree(second.results().toFile())
            .path("models")
            .get(0)
            .path("saes")
            .size());
  }

  @Test
  void tasksAreProbedWithAllSaes() throws IOException {
    Path tasks = Files.createDirectories(dir.resolve("tasks/sst2"));
    StringBuilder rows = new StringBuilder("sentence\tlabel\n");
    for (int i = 0; i < 200; i++) {
      rows.append(i % 2 == 0 ? "the dog ran very fast" : "a cat was asleep all day")
          .append(" and then %s\t%d\n".formatted("it was fun ".repeat(1 + i % 3).strip(), i % 2));
    }
    Files.writeString(tasks.resolve("train.tsv"), rows);
    Files.writeString(tasks.resolve("test.tsv"), rows);
    String yaml =
        SMALL
            + """
            dataSets:
              - {name: plays, file: embedded, tokens: 1500}
            probing: {data: tasks, maxExamples: 150}
            """;
    Path out = dir.resolve("out");
    Study.Outcome outcome = run(yaml, out);
    assertEquals(List.of(), outcome.failures());
    JsonNode saes =
        Json.mapper().readTree(outcome.results().toFile()).path("models").get(0).path("saes");
    assertEquals(4, saes.size());
    for (JsonNode sae : saes) {
      JsonNode probed = sae.path("probing").path("sst2");
      assertEquals(150, probed.path("testExamples").asInt());
      assertEquals(1.0, probed.path("baseline").path("accuracy").path("estimate").asDouble());
    }
    JsonNode means =
        Json.mapper().readTree(outcome.results().toFile()).path("models").get(0).path("probing");
    assertEquals(2, means.size(), "one for each k");
    JsonNode ofSeeds = means.get(0).path("accuracy").path("sae");
    assertEquals(2, ofSeeds.path("values").size());
    for (int seed = 0; seed < 2; seed++) {
      assertEquals(
          saes.get(seed).at("/probing/sst2/sae/accuracy/estimate").asDouble(),
          ofSeeds.path("values").get(seed).asDouble());
    }
    assertEquals(
        (ofSeeds.path("values").get(0).asDouble() + ofSeeds.path("values").get(1).asDouble()) / 2,
        ofSeeds.path("mean").asDouble(),
        1e-15);
    String report = Files.readString(outcome.report());
    assertTrue(
        report.contains("Text tasks") && report.contains("Means over the SAEs of all seeds"));
    assertEquals(0, run(yaml, out).stepsDone());
  }

  @Test
  void textOfAModelThatIsNotInTheStudyIsRefused() throws IOException {
    Path file =
        Files.writeString(
            dir.resolve("study.yaml"), "models: {one: {dataSets: [{name: x, from: two/own}]}}\n");
    SaeFormatException refused = assertThrows(SaeFormatException.class, () -> StudyFile.read(file));
    assertTrue(refused.getMessage().contains("two/own"), refused.getMessage());
  }

  private Study.Outcome run(String yaml, Path out) throws IOException {
    steps.clear();
    Path file = Files.writeString(dir.resolve("study.yaml"), yaml);
    try (Backend backend = Backends.open("cpu")) {
      return Study.run(StudyFile.read(file), out, backend, SmallStudy.listener(steps::add));
    }
  }
}
