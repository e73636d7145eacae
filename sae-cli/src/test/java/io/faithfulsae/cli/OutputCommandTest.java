package io.faithfulsae.cli;

import static io.faithfulsae.cli.Tiny.sae;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** Outputs have one writer at a time, and a finished one is not silently replaced. */
final class OutputCommandTest {
  /** Commands that resume existing output, and reject it if its settings differ. */
  private static final Set<String> RESUMING = Set.of("study", "generate", "train");

  /** They write no file. */
  private static final Set<String> PRINTING = Set.of("info", "doctor", "completion", "steer");

  @TempDir Path dir;

  @Test
  void twoGeneratesOnOneFileDoNotMix() throws IOException, InterruptedException {
    Path out = dir.resolve("out.jsonl");
    Path part = dir.resolve("out.jsonl.part");
    Process first = start(generate(out, 10_000_000));
    while (!Files.exists(part) || Files.size(part) == 0) {
      assertTrue(first.isAlive(), "it has enough to do");
      Thread.sleep(5);
    }
    Tiny.Ran second = sae(generate(out, 2_000));
    assertEquals(1, second.code(), second.out());
    assertTrue(second.err().contains("process " + first.pid() + " on "), second.err());
    assertTrue(second.err().contains(" generate "), "should name the command: " + second.err());
    first.destroyForcibly().waitFor();
    sae(generate(out, 2_000)).ok();
    List<String> lines = Files.readAllLines(out);
    List<Integer> ids = new ArrayList<>();
    for (String line : lines) {
      ids.add(new JsonMapper().readTree(line).path("id").asInt());
    }
    assertEquals(IntStream.range(0, lines.size()).boxed().toList(), ids, "each record once");
    sae(generate(dir.resolve("alone.jsonl"), 2_000)).ok();
    List<String> alone = Files.readAllLines(dir.resolve("alone.jsonl"));
    assertTrue(alone.size() > 20);
    assertEquals(
        alone.subList(0, Math.min(alone.size(), lines.size())),
        lines.subList(0, Math.min(alone.size(), lines.size())));
    try (var files = Files.list(dir)) {
      assertEquals(
          Set.of(
              "log.txt",
              "out.jsonl",
              "out.jsonl.settings.json",
              "alone.jsonl",
              "alone.jsonl.settings.json"),
          files.map(file -> file.getFileName().toString()).collect(Collectors.toSet()));
    }
  }

  private static Object[] generate(Path out, int budget) {
    return new Object[] {
      "generate", "--budget", budget, "--max-length", 24, "--threads", 1, "--out", out
    };
  }

  @Test
  void twoTrainingsInOneFolderDoNotMix() throws IOException, InterruptedException {
    Path shards = Tiny.shards(dir.resolve("shards"));
    Path out = dir.resolve("sae");
    Process first = start(train(shards, out, "--tokens", 1_000_000_000, "--checkpoint-steps", 20));
    while (!Files.exists(out.resolve(".lock"))) {
      assertTrue(first.isAlive(), "it has enough to do");
      Thread.sleep(5);
    }
    Tiny.Ran second = sae(train(shards, out, "--tokens", 1_000));
    assertEquals(1, second.code(), second.out());
    assertTrue(second.err().contains("process " + first.pid() + " on "), second.err());
    first.destroyForcibly().waitFor();
    try (var files = Files.list(out)) {
      for (Path file : files.toList()) {
        if (file.getFileName().toString().startsWith("checkpoint")) {
          Files.delete(file);
        }
      }
    }
    sae(train(shards, out, "--tokens", 1_000)).ok();
    assertFalse(Files.exists(out.resolve(".lock")));
  }

  private static Object[] train(Path shards, Path out, Object... more) {
    List<Object> all =
        new ArrayList<>(List.of("train", "--activations", shards, "--d-sae", 32, "--k", 4));
    all.addAll(List.of("--batch", 100, "--out", out));
    all.addAll(Arrays.asList(more));
    return all.toArray();
  }

  @Test
  void aFinishedSaeIsReplacedOnlyWithOverwrite() throws IOException {
    Path shards = Tiny.shards(dir.resolve("shards"));
    Path out = dir.resolve("sae");
    sae(train(shards, out, "--tokens", 1_000, "--seed", 1)).ok();
    byte[] before = Files.readAllBytes(out.resolve("sae_weights.safetensors"));
    Tiny.Ran rejected = sae(train(shards, out, "--tokens", 1_000, "--seed", 2));
    assertEquals(1, rejected.code(), rejected.out());
    assertTrue(rejected.err().contains("add --overwrite to replace it"), rejected.err());
    sae(train(shards, out, "--tokens", 1_000, "--seed", 1, "--resume")).ok();
    assertArrayEquals(before, Files.readAllBytes(out.resolve("sae_weights.safetensors")));
    // An SAE from elsewhere is not a run to resume.
    Files.move(out.resolve("training.json"), dir.resolve("training.json"));
    assertEquals(1, sae(train(shards, out, "--tokens", 1_000, "--resume")).code());
    assertArrayEquals(before, Files.readAllBytes(out.resolve("sae_weights.safetensors")));
    sae(train(shards, out, "--tokens", 1_000, "--seed", 2, "--overwrite")).ok();
    assertFalse(Arrays.equals(before, Files.readAllBytes(out.resolve("sae_weights.safetensors"))));
  }

  @Test
  void everyFileOfEveryCommandIsGuarded() throws IOException {
    Object[][] commands = {
      {"check-dataset", "--data", "x", "--out", dir.resolve("a.json")},
      {"activations", "--hook", "x", "--tokens", "x", "--out", dir.resolve("a.safetensors")},
      {"encode", "--sae", "x", "--activations", "x", "--out", dir.resolve("a.safetensors")},
      {"evaluate", "--sae", "x", "--data", "x", "--out", dir.resolve("a.json")},
      {"match", "--a", "x", "--b", "x", "--out", dir.resolve("a.json")},
      {"convert", "--from", "x", "--format", "sparsify", "--to", dir.resolve("a")},
      {"fake-features", "--sae", "x", "--out", dir.resolve("a.json")},
      {"compare", "x", "--out", dir.resolve("a.json")},
      {"probe", "--sae", "x", "--data", "x", "--out", dir.resolve("a.json")},
      {"dashboard", "--sae", "x", "--data", "x", "--out", dir.resolve("a.html")},
    };
    Set<String> tried =
        Arrays.stream(commands).map(one -> one[0].toString()).collect(Collectors.toSet());
    for (CommandLine command : Tiny.line().getSubcommands().values()) {
      String name = command.getCommandName();
      boolean writes = !PRINTING.contains(name);
      assertEquals(tried.contains(name), writes && !RESUMING.contains(name), name);
    }
    for (Object[] one : commands) {
      WritesFiles command =
          (WritesFiles)
              Tiny.line()
                  .parseArgs(Arrays.stream(one).map(String::valueOf).toArray(String[]::new))
                  .subcommand()
                  .commandSpec()
                  .userObject();
      assertTrue(command.files().contains(one[one.length - 1]), one[0].toString());
      for (Path file : command.files()) {
        Files.writeString(file, "before");
        Tiny.Ran rejected = sae(one);
        assertEquals(1, rejected.code(), one[0] + rejected.err());
        String expected = "expected no result in " + file + " yet, got one; add --overwrite";
        assertTrue(rejected.err().contains(expected), rejected.err());
        assertEquals("before", Files.readString(file));
        Object[] overwriting = Arrays.copyOf(one, one.length + 1);
        overwriting[one.length] = "--overwrite";
        assertFalse(
            sae(overwriting).err().contains("expected no result"), "overwriting is allowed");
        assertEquals("before", Files.readString(file), "it fails before replacing anything");
        Files.delete(file);
      }
      assertTrue(sae(one[0], "--help").ok().out().contains("--overwrite"));
    }
    try (var remaining = Files.list(dir)) {
      assertEquals(List.of(), remaining.toList(), "no lock file remains");
    }
  }

  @Test
  void matchReplacesItsResultWhenItIsToldTo() throws IOException {
    Path a = Tiny.sae(dir, 1);
    Path out = dir.resolve("match.json");
    sae("match", "--a", a, "--b", a, "--out", out).ok();
    JsonNode before = new JsonMapper().readTree(out.toFile());
    Tiny.Ran again = sae("match", "--a", a, "--b", a, "--threshold", 0.5, "--out", out);
    assertEquals(1, again.code());
    assertEquals(before, new JsonMapper().readTree(out.toFile()));
    sae("match", "--a", a, "--b", Tiny.sae(dir, 2), "--out", out, "--overwrite").ok();
    assertFalse(before.equals(new JsonMapper().readTree(out.toFile())));
  }

  @Test
  void whatGoesOnHasNothingToOverwrite() {
    Tiny.Ran shards =
        sae("activations", "--hook", "x", "--data", "x", "--out", dir.resolve("o"), "--overwrite");
    assertEquals(2, shards.code(), shards.err());
  }

  private Process start(Object... arguments) throws IOException {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                SaeCommand.class.getName()));
    Arrays.stream(arguments).map(String::valueOf).forEach(command::add);
    ProcessBuilder process = new ProcessBuilder(command);
    process.environment().put("CLASSPATH", System.getProperty("java.class.path"));
    return process
        .redirectErrorStream(true)
        .redirectOutput(dir.resolve("log.txt").toFile())
        .start();
  }
}
