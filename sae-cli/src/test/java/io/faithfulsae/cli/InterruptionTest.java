package io.faithfulsae.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Stops training in a separate process: the resumed run equals an uninterrupted one, bit for bit.
 */
final class InterruptionTest {
  private static final int STEPS = 3_000;
  @TempDir Path dir;
  private Path shards;
  private byte[] expected;

  @BeforeEach
  void trainWithoutStop() throws IOException {
    shards = Tiny.shards(dir.resolve("shards"));
    Path out = dir.resolve("whole");
    Tiny.sae(arguments(out, false).toArray()).ok();
    expected = Files.readAllBytes(out.resolve("sae_weights.safetensors"));
  }

  @Test
  void killedTrainingResumesBitForBit() throws IOException, InterruptedException {
    Path out = dir.resolve("killed");
    Process process = start(out);
    awaitCheckpoint(out, process);
    process.destroyForcibly();
    assertTrue(process.waitFor(60, TimeUnit.SECONDS));
    assertFalse(Files.exists(out.resolve("cfg.json")), "killed before the end");
    resumeAndCompare(out);
  }

  @Test
  void interruptedTrainingKeepsACheckpointAndExitsWith130()
      throws IOException, InterruptedException {
    Path out = dir.resolve("interrupted");
    Process process = start(out);
    awaitCheckpoint(out, process);
    new ProcessBuilder("kill", "-INT", String.valueOf(process.pid())).start().waitFor();
    assertTrue(process.waitFor(60, TimeUnit.SECONDS));
    String said = Files.readString(dir.resolve("log.txt"));
    assertEquals(130, process.exitValue(), said);
    assertTrue(said.contains("stopped after step"), said);
    resumeAndCompare(out);
  }

  private void resumeAndCompare(Path out) throws IOException {
    Tiny.sae(arguments(out, true).toArray()).ok();
    assertTrue(
        Arrays.equals(expected, Files.readAllBytes(out.resolve("sae_weights.safetensors"))),
        "the resumed run has different weights");
  }

  private List<Object> arguments(Path out, boolean resume) {
    List<Object> arguments =
        new ArrayList<>(
            List.of(
                "train",
                "--activations",
                shards,
                "--d-sae",
                64,
                "--k",
                4,
                "--batch",
                100,
                "--buffer-rows",
                1_000,
                "--tokens",
                100 * STEPS,
                "--checkpoint-steps",
                50,
                "--out",
                out));
    if (resume) {
      arguments.add("--resume");
    }
    return arguments;
  }

  private Process start(Path out) throws IOException {
    List<String> command =
        new ArrayList<>(
            List.of(
                // A background job ignores SIGINT, and so would what it starts.
                "env",
                "--default-signal=INT",
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                SaeCommand.class.getName()));
    arguments(out, false).forEach(argument -> command.add(String.valueOf(argument)));
    return new ProcessBuilder(command)
        .redirectErrorStream(true)
        .redirectOutput(dir.resolve("log.txt").toFile())
        .start();
  }

  private static void awaitCheckpoint(Path out, Process process)
      throws IOException, InterruptedException {
    while (!hasCheckpoint(out)) {
      assertTrue(process.isAlive(), "training ended before its first checkpoint");
      Thread.sleep(5);
    }
  }

  private static boolean hasCheckpoint(Path out) throws IOException {
    if (!Files.isDirectory(out)) {
      return false;
    }
    try (Stream<Path> files = Files.list(out)) {
      return files.anyMatch(file -> file.getFileName().toString().startsWith("checkpoint-"));
    }
  }
}
