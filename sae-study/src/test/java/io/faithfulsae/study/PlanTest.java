package io.faithfulsae.study;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Backends;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.StudyPlan.ModelPlan;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The plan of a fresh study is what its run then does, entry by entry and step by step. */
@Tag("slow")
final class PlanTest {
  private static final String SMALL =
      SmallStudy.TWO_SEEDS
          + """
          sae: {dSae: 24, k: 4}
          dataSets:
            - {name: own, generate: {tokens: 1500, maxLength: 64, seed: 3}}
            - {name: half, mixture: {own: 0.5, plays: 0.5}}
            - {name: plays, file: embedded, tokens: 1500}
          """;

  @TempDir Path dir;
  private final List<StudyPlan> plans = new ArrayList<>();
  private final List<String> steps = new ArrayList<>();
  private int openings;

  @Test
  void withAndWithoutOptionalMeasurements() throws IOException {
    Path task = Files.createDirectories(dir.resolve("tasks/sst2"));
    String rows = "a cat was asleep all day\t0\nthe dog ran very fast\t1\n".repeat(20);
    Files.writeString(task.resolve("train.tsv"), "sentence\tlabel\n" + rows);
    Files.writeString(task.resolve("test.tsv"), "sentence\tlabel\n" + rows);
    OpenModels models =
        models(
            SMALL
                + """
                models:
                  few: {}
                  none: {checks: {tokens: 0}}
                  all:
                    fakeVariants: {sequences: 3}
                    kCurve: {multiples: [1, 2], rows: 100, ceTokens: 40, fakeTokens: 100}
                    featureSubsets: {rankBy: [frequency], shares: [0.5], rankingRows: 100, rows: 100, ceTokens: 40}
                    seedAgreement: {rows: 100}
                    probing: {data: tasks}
                """);
    run(models);
    List<Integer> planned = plans.get(0).models().stream().map(ModelPlan::steps).toList();
    int texts = 1 + 3 * 2;
    int saes = 3 * 3 + 3 * 3;
    assertEquals(texts + 2 + 3 + saes, planned.get(0), "two checks, as mixtures have none");
    assertEquals(3 * 2 + 3 + saes, planned.get(1), "sampled by the first; other streams");
    assertEquals(saes + 3 * 4 + 1, planned.get(2), "trained with the first");
    assertEquals(1, openings, "one model, for the plan and for the steps of all entries");
  }

  @Test
  void withTextsOfOtherEntries() throws IOException {
    OpenModels models =
        models(
            SMALL
                + """
                models:
                  first: {}
                  second:
                    hook: blocks.1.hook_resid_pre
                    dataSets:
                      - {name: theirs, from: first/own}
                      - {name: again, generate: {tokens: 1500, maxLength: 64, seed: 3}}
                """);
    run(models);
    assertTrue(steps.contains("first/sample-own"), steps.toString());
    assertTrue(steps.stream().noneMatch(step -> step.startsWith("second/sample")));
    assertEquals(4, openings, "two hooks: each is opened for the plan and for its steps");
  }

  private OpenModels models(String yaml) throws IOException {
    Path file = Files.writeString(dir.resolve("study.yaml"), yaml);
    return new OpenModels(StudyFile.read(file), dir.resolve("out"));
  }

  private void run(OpenModels models) throws IOException {
    StudyListener listener =
        new StudyListener() {
          @Override
          public void planned(StudyPlan plan) {
            plans.add(plan);
          }

          @Override
          public void step(String what) {
            steps.add(what);
          }
        };
    try (Backend backend = Backends.open("cpu")) {
      Study.Outcome outcome = Study.run(models, backend, listener);
      openings = models.openings();
      assertEquals(List.of(), outcome.failures());
      assertEquals(steps.size(), outcome.stepsDone());
      StudyPlan after = Study.plan(models.file(), models.study(), backend);
      for (int i = 0; i < after.models().size(); i++) {
        ModelPlan plan = plans.get(0).models().get(i);
        List<String> done = doneBy(plan.name());
        assertEquals(done.size(), plan.steps(), plan.name() + " " + done);
        assertEquals(Set.copyOf(done), planned(models, plan.name(), backend), plan.name());
        assertEquals(0, plan.keptSteps());
        assertEquals(plan.steps(), after.models().get(i).keptSteps(), plan.name());
      }
    } finally {
      models.close();
    }
  }

  private List<String> doneBy(String entry) {
    return steps.stream()
        .filter(step -> step.startsWith(entry + "/"))
        .map(step -> step.substring(entry.length() + 1))
        .toList();
  }

  private static Set<String> planned(OpenModels models, String entry, Backend backend)
      throws IOException {
    StepFolders folders = new StepFolders(models.study(), StudyListener.NONE, true);
    return Planner.units(models.entry(entry, backend, folders)).stream()
        .map(Unit::step)
        .collect(Collectors.toSet());
  }
}
