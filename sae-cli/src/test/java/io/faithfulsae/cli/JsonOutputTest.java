package io.faithfulsae.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.ShardIndex;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.models.generate.FaithfulDataset;
import io.faithfulsae.study.ResultsSchema;
import io.faithfulsae.study.SmallStudy;
import io.faithfulsae.study.Study;
import io.faithfulsae.study.StudyPlan;
import io.faithfulsae.study.compare.Comparison;
import io.faithfulsae.study.compare.FakeFeaturePair;
import io.faithfulsae.study.dashboard.Dashboard;
import io.faithfulsae.study.tasks.ProbingRun;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** The output of every command with {@code --json} is one line that matches its schema. */
final class JsonOutputTest {
  private static final Path SCHEMAS = Path.of("src/main/resources/io/faithfulsae/cli");

  /** What each command prints; {@code COMMAND.KIND} if a command prints several kinds. */
  private static final Map<String, List<Type>> PRINTED =
      new TreeMap<>(
          Map.ofEntries(
              Map.entry("study", List.of(Study.Outcome.class)),
              Map.entry("study.plan", List.of(StudyPlan.class)),
              Map.entry("generate", List.of(FaithfulDataset.Result.class)),
              Map.entry("check-dataset", List.of(CheckDatasetCommand.Checked.class)),
              Map.entry("activations", List.of(ShardIndex.class)),
              Map.entry("activations.tokens", List.of(ActivationsCommand.Written.class)),
              Map.entry("train", List.of(TrainCommand.Trained.class)),
              Map.entry("encode", List.of(EncodeCommand.Encoded.class)),
              Map.entry("evaluate", List.of(EvaluateCommand.Evaluated.class)),
              Map.entry("info", List.of(InfoCommand.Info.class)),
              Map.entry("doctor", List.of(DoctorCommand.Examined.class)),
              Map.entry("convert", List.of(ConvertCommand.Converted.class)),
              Map.entry("match", List.of(MatchCommand.Matched.class)),
              Map.entry("fake-features", List.of(FakeFeatures.class)),
              Map.entry("fake-features.second", List.of(List.class, FakeFeaturePair.class)),
              Map.entry("compare", List.of(Comparison.class)),
              Map.entry("probe", List.of(List.class, ProbingRun.class)),
              Map.entry("steer", List.of(SteerCommand.Steered.class)),
              Map.entry("dashboard", List.of(Dashboard.class))));

  @TempDir Path dir;
  private final Set<String> seen = new TreeSet<>();

  private static String schema(String name) {
    List<Type> type = PRINTED.get(name);
    return ResultsSchema.generate(type.get(0), type.subList(1, type.size()).toArray(new Type[0]));
  }

  @Test
  void everyCommandHasASchemaThatIsThatOfItsRecords() throws IOException {
    for (String name : PRINTED.keySet()) {
      Path committed = SCHEMAS.resolve(name + ".schema.json");
      String made = schema(name);
      if (Boolean.getBoolean("api.update")) {
        Files.createDirectories(SCHEMAS);
        Files.writeString(committed, made);
      }
      assertEquals(
          made, Files.readString(committed), "rewrite it with -Dapi.update=true and review it");
    }
    for (CommandLine command : Tiny.line().getSubcommands().values()) {
      if (command.getCommandSpec().optionsMap().containsKey("--json")) {
        assertTrue(PRINTED.containsKey(command.getCommandName()), command.getCommandName());
      }
    }
  }

  @Test
  void whatEveryCommandPrintsIsAsItsSchemaSays() throws IOException {
    Path text = dir.resolve("text.jsonl");
    check("generate", "--budget", 2_000, "--max-length", 24, "--out", text);
    check("check-dataset", "--data", text, "--against", text, "--out", dir.resolve("c.json"));
    Path shards = dir.resolve("shards");
    check(
        "activations",
        "--hook",
        "blocks.1.hook_resid_pre",
        "--data",
        text,
        "--context",
        16,
        "--out",
        shards);
    Path tokens = Files.writeString(dir.resolve("t.json"), "[[0, 5, 9], [0, 7, 3]]");
    Path rows = dir.resolve("rows.safetensors");
    check(
        "activations.tokens",
        "--hook",
        "blocks.1.hook_resid_pre",
        "--tokens",
        tokens,
        "--out",
        rows);
    train(shards, 1);
    train(shards, 2);
    Path sae = dir.resolve("sae1");
    Path other = dir.resolve("sae2");
    JsonNode again = train(shards, 1, "--resume");
    assertEquals("COMPLETED", again.path("reason").asText());
    assertEquals(sae.toString(), again.path("out").asText());
    check("steer", "--sae", sae, "--latent", 5, "--strength", 2, "--max-length", 12);
    check("encode", "--sae", sae, "--activations", rows, "--out", dir.resolve("e.safetensors"));
    check(
        "evaluate",
        "--sae",
        sae,
        "--data",
        text,
        "--ce-tokens",
        100,
        "--rows",
        200,
        "--k",
        "2,8",
        "--fake-tokens",
        200,
        "--subsets",
        4,
        "--out",
        dir.resolve("e.json"));
    check("info", sae);
    check("doctor");
    check("convert", "--from", sae, "--format", "sparsify", "--to", dir.resolve("converted"));
    check("match", "--a", sae, "--b", other, "--strict", "--out", dir.resolve("m.json"));
    check(
        "fake-features",
        "--sae",
        sae,
        "--tokens",
        300,
        "--data",
        text,
        "--out",
        dir.resolve("f.json"));
    check(
        "fake-features.second",
        "--sae",
        sae,
        "--second",
        other,
        "--tokens",
        300,
        "--out",
        dir.resolve("p.json"));
    check(
        "dashboard",
        "--sae",
        sae,
        "--data",
        text,
        "--random",
        3,
        "--sequences",
        10,
        "--second",
        other,
        "--out",
        dir.resolve("d.html"));
    check("probe", "--sae", sae, "--tasks", tasks(), "--out", dir.resolve("probe.json"));
    check(
        "compare",
        resource("study_fake_features.json"),
        "--resamples",
        50,
        "--out",
        dir.resolve("compared.json"));
    Path study =
        Files.writeString(
            dir.resolve("study.yaml"),
            SmallStudy.SETTINGS
                + """
            dataSets:
              - {name: own, generate: {tokens: 1500, maxLength: 32}}
              - {name: outside, file: embedded, tokens: 1500}
            seeds: [1, 2]
            sae: {dSae: 32, k: 4}
            training: {tokens: 2000, batch: 200, bufferRows: 1000, warmupSteps: 0, decaySteps: 0}
            evaluation: {rows: 100, ceTokens: 50}
            fakeFeatures: {tokens: 200, textSequences: 3}
            samples: 0
            """);
    check("study.plan", "--config", study, "--plan", "--out", dir.resolve("study"));
    check("study", "--config", study, "--out", dir.resolve("study"));
    assertEquals(PRINTED.keySet(), seen);
  }

  private JsonNode train(Path shards, int seed, Object... more) throws IOException {
    List<Object> options =
        new ArrayList<>(List.of("--activations", shards, "--d-sae", 64, "--k", 8));
    options.addAll(List.of("--tokens", 2_000, "--batch", 200, "--seed", seed));
    options.addAll(List.of("--out", dir.resolve("sae" + seed)));
    options.addAll(Arrays.asList(more));
    return check("train", options.toArray());
  }

  /** Runs a command with {@code --json}; nothing else may be printed to standard output. */
  private JsonNode check(String name, Object... options) throws IOException {
    List<Object> args = new ArrayList<>(List.of(name.split("\\.")[0], "--json"));
    args.addAll(Arrays.asList(options));
    PrintStream out = System.out;
    ByteArrayOutputStream other = new ByteArrayOutputStream();
    Tiny.Ran ran;
    try {
      System.setOut(new PrintStream(other, true, StandardCharsets.UTF_8));
      ran = Tiny.sae(args.toArray()).ok();
    } finally {
      System.setOut(out);
    }
    assertEquals("", other.toString(StandardCharsets.UTF_8), name);
    assertEquals(1, ran.out().lines().count(), ran.out());
    JsonNode printed = new JsonMapper().readTree(ran.out());
    assertFalse(printed.isMissingNode(), name);
    assertEquals(Set.of(), ResultsSchema.problems(printed, schema(name)), name);
    seen.add(name);
    return printed;
  }

  private static Path resource(String name) {
    return Path.of("../sae-study/src/test/resources/io/faithfulsae/study/compare").resolve(name);
  }

  private Path tasks() throws IOException {
    StringBuilder rows = new StringBuilder("sentence\tlabel\n");
    for (int i = 0; i < 40; i++) {
      rows.append("the %s ran home .\t%d\n".formatted(i % 2 == 0 ? "cat" : "dog", i % 2));
    }
    Files.writeString(dir.resolve("rows.tsv"), rows);
    return Files.writeString(
        dir.resolve("tasks.yaml"),
        """
        animals:
          classes: ["0", "1"]
          train: {files: rows.tsv, text: sentence, label: label}
          test: {files: rows.tsv, text: sentence, label: label}
        """);
  }
}
