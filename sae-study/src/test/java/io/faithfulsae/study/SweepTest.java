package io.faithfulsae.study;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.Backends;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.provenance.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Several sizes, learning rates, presets and mixtures in one study, and several entries for one
 * model.
 */
@Tag("slow")
final class SweepTest {
  private static final String SETS =
      """
      dataSets:
        - {name: own, generate: {tokens: 2000, maxLength: 64, seed: 3}}
        - {name: plays, file: embedded, tokens: 2000}
      """;

  @TempDir Path dir;
  private final List<String> steps = new ArrayList<>();

  @Test
  void listsTrainEveryCombinationOnOneStream() throws IOException {
    String yaml =
        SmallStudy.TWO_SEEDS
                .replace("seeds: [1, 2]", "seeds: [1]")
                .replace(
                    "{tokens: 2000,",
                    "{tokens: 1000, lr: [0.001, 0.01], preset: [faithfulsae, saelens],")
            + SETS
            + "  - {name: half, mixture: {own: 0.5, plays: 0.5}}\n"
            + "sae: {dSae: [24, 40], k: 4}\n";
    Path out = dir.resolve("out");
    StudyPlan.ModelPlan plan = plan(yaml, out).models().get(0);
    Study.Outcome outcome = run(yaml, out);
    assertEquals(List.of(), outcome.failures());
    assertEquals(plan.steps(), outcome.stepsDone(), steps.toString());
    assertEquals(3 * 8, plan.saes());
    assertEquals(3 * 1000, plan.harvestedTokens(), "each data set is read once");
    assertEquals(3, steps.stream().filter(step -> step.startsWith("train-")).count());

    JsonNode model = models(outcome).get(0);
    Set<String> names = new TreeSet<>();
    for (JsonNode sae : model.path("saes")) {
      names.add(sae.path("name").asText());
      assertTrue(
          Files.exists(out.resolve(sae.path("folder").asText()).resolve("cfg.json")),
          sae.path("folder").asText());
      JsonNode cfg =
          Json.mapper()
              .readTree(out.resolve(sae.path("folder").asText()).resolve("training.json").toFile());
      assertEquals(cfg.path("training").path("lr").asDouble(), sae.path("lr").asDouble());
      assertEquals(
          sae.path("preset").asText().equals("SAELENS") ? "SUM_MEAN" : "MEAN",
          cfg.path("training").path("loss").asText());
    }
    assertEquals(24, names.size());
    assertTrue(names.contains("half-d40-saelens-lr0.01-1"), names.toString());

    JsonNode half = model.path("dataSets").get(2);
    assertEquals(0.5, half.path("faithfulShare").asDouble());
    JsonNode own = model.path("dataSets").get(0);
    long least =
        Math.min(
            own.path("sequences").asLong(),
            model.path("dataSets").get(1).path("sequences").asLong());
    assertTrue(Math.abs(half.path("sequences").asLong() - least) <= 1, half.toString());
    String report = Files.readString(outcome.report());
    assertTrue(report.contains("<h3>Sweep</h3>") && report.contains("share of faithful text"));
    for (String plot :
        List.of("sweep-d-sae-ce", "sweep-lr-explained", "sweep-preset-fake", "sweep-share-ce")) {
      assertTrue(Files.exists(out.resolve(EmbeddedModel.NAME).resolve(plot + ".png")), plot);
    }
    assertEquals(0, run(yaml, out).stepsDone());
  }

  @Test
  void heldOutTextOfAPartIsNotTrainedOnInAMixture() throws IOException {
    String yaml =
        SmallStudy.TWO_SEEDS
            + SETS
            + "  - {name: most, mixture: {own: 0.75, plays: 0.25}}\n"
            + "sae: {dSae: 24, k: 4}\n";
    Path out = dir.resolve("out");
    assertEquals(List.of(), run(yaml, out).failures());
    Path data = StepFolders.folder(out, EmbeddedModel.NAME);
    List<List<Integer>> own = sequences(data, "own");
    List<List<Integer>> plays = sequences(data, "plays");
    List<List<Integer>> most = sequences(data, "most");
    int heldOut = heldOut(data, "most");
    List<List<Integer>> trained = most.subList(0, most.size() - heldOut);
    Set<List<Integer>> ownTrained = Set.copyOf(own.subList(0, own.size() - heldOut(data, "own")));
    Set<List<Integer>> playsTrained =
        Set.copyOf(plays.subList(0, plays.size() - heldOut(data, "plays")));
    long ofOwn = trained.stream().filter(ownTrained::contains).count();
    long ofPlays = trained.stream().filter(playsTrained::contains).count();
    assertEquals(trained.size(), ofOwn + ofPlays, "only from the training parts");
    assertEquals(0.75, (double) ofOwn / trained.size(), 1.0 / trained.size());
    most.subList(trained.size(), most.size())
        .forEach(
            held ->
                assertFalse(ownTrained.contains(held) || playsTrained.contains(held), "held out"));
  }

  @Test
  void entriesOfOneModelSampleAndReadOnce() throws IOException {
    String yaml =
        SmallStudy.TWO_SEEDS
            + SETS
            + """
            models:
              narrow: {sae: {dSae: 24, k: 4}}
              wide: {sae: {dSae: 40, k: 4}}
              deep: {sae: {dSae: 24, k: 4}, hook: blocks.1.hook_resid_pre}
            """;
    Path out = dir.resolve("out");
    List<StudyPlan.ModelPlan> plans = plan(yaml, out).models();
    Study.Outcome outcome = run(yaml, out);
    assertEquals(List.of(), outcome.failures());
    assertEquals(
        plans.stream().mapToInt(StudyPlan.ModelPlan::steps).sum(),
        outcome.stepsDone(),
        steps.toString());
    assertEquals(List.of("narrow/sample-own"), with("sample-"));
    assertEquals(
        List.of("narrow/train-own", "narrow/train-plays", "deep/train-own", "deep/train-plays"),
        with("train-"));
    assertEquals(List.of(2000L, 0L, 0L), plans.stream().map(p -> p.generatedTokens()).toList());
    assertEquals(List.of(4000L, 0L, 4000L), plans.stream().map(p -> p.harvestedTokens()).toList());
    assertEquals(List.of(8, 0, 4), plans.stream().map(p -> p.trainedSaes()).toList());
    JsonNode models = models(outcome);
    for (int m = 0; m < 3; m++) {
      assertEquals(4, models.get(m).path("saes").size());
      assertEquals(
          m == 1 ? 40 : 24, models.get(m).path("saes").get(0).path("dSae").asInt(), "entry " + m);
    }
    assertEquals(
        models.get(0).path("dataSets").get(0).path("hash"),
        models.get(2).path("dataSets").get(0).path("hash"));
    String folder = models.get(1).path("saes").get(0).path("folder").asText();
    assertEquals("narrow/steps/train-own/wide.sae-1", folder);
    JsonNode cfg = Json.mapper().readTree(out.resolve(folder).resolve("cfg.json").toFile());
    assertEquals(40, cfg.path("d_sae").asInt());
    assertEquals(0, run(yaml, out).stepsDone());
    assertTrue(Files.readString(outcome.report()).contains("Across models"));
  }

  private List<String> with(String part) {
    return steps.stream().filter(step -> step.contains("/" + part)).toList();
  }

  private static int heldOut(Path data, String set) throws IOException {
    return Json.mapper()
        .readTree(data.resolve("data-" + set).resolve("step.json").toFile())
        .path("result")
        .path("heldOut")
        .asInt();
  }

  private static List<List<Integer>> sequences(Path data, String set) throws IOException {
    try (Stream<int[]> all =
        new TokenFile(data.resolve("data-" + set).resolve("tokens.int32"), 32, set).open(0)) {
      return all.map(ids -> java.util.Arrays.stream(ids).boxed().toList()).toList();
    }
  }

  private static JsonNode models(Study.Outcome outcome) throws IOException {
    return Json.mapper().readTree(outcome.results().toFile()).path("models");
  }

  private StudyPlan plan(String yaml, Path out) throws IOException {
    Path file = Files.writeString(dir.resolve("study.yaml"), yaml);
    try (Backend backend = Backends.open("cpu")) {
      return Study.plan(StudyFile.read(file), out, backend);
    }
  }

  private Study.Outcome run(String yaml, Path out) throws IOException {
    steps.clear();
    Path file = Files.writeString(dir.resolve("study.yaml"), yaml);
    try (Backend backend = Backends.open("cpu")) {
      return Study.run(StudyFile.read(file), out, backend, SmallStudy.listener(steps::add));
    }
  }
}
