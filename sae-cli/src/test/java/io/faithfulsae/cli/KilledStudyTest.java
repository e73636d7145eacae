package io.faithfulsae.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A study that is repeatedly killed ends with the results of an uninterrupted one. */
@Tag("slow")
final class KilledStudyTest {
  private static final int KILLS = 10;
  private static final String STUDY =
      """
      context: 32
      batchSequences: 8
      dataSets:
        - name: faithful
          generate: {tokens: 6000, maxLength: 64, temperature: 1.0, topP: 1.0, seed: 3}
        - {name: outside, file: embedded, tokens: 6000}
      seeds: [1, 2]
      sae: {dSae: 128, k: [4, 8]}
      training: {tokens: 160000, batch: 200, bufferRows: 2000, warmupSteps: 0, decaySteps: 0}
      evaluation: {rows: 500, ceTokens: 300}
      fakeFeatures: {tokens: 3000, textSequences: 10}
      fakeVariants: {sequences: 5}
      kCurve: {multiples: [0, 1, 4], rows: 200, ceTokens: 60, fakeTokens: 300}
      featureSubsets: {shares: [0, 0.2, 1], rankingRows: 300, rows: 200, ceTokens: 60}
      seedAgreement: {rows: 200}
      bootstrap: {resamples: 500}
      samples: 1
      """;

  @TempDir Path dir;

  @Test
  void killedAtTenRandomMomentsItEndsTheSame() throws IOException, InterruptedException {
    Path config = Files.writeString(dir.resolve("study.yaml"), STUDY);
    Path whole = dir.resolve("whole");
    long begun = System.nanoTime();
    assertEquals(0, start(config, whole).waitFor());
    long millis = (System.nanoTime() - begun) / 1_000_000;

    Path killed = dir.resolve("killed");
    Random random = new Random(11);
    for (int kill = 0; kill < KILLS; kill++) {
      Process process = start(config, killed);
      // Long enough that most runs make progress, short enough that ten do not finish.
      boolean ended =
          process.waitFor((long) (millis * 0.2 * random.nextDouble()), TimeUnit.MILLISECONDS);
      assertTrue(!ended, "start " + kill + " must not finish");
      process.destroyForcibly().waitFor();
    }
    assertTrue(stepsDone(killed) < stepsDone(whole), "the killed runs must leave something to do");
    assertEquals(0, start(config, killed).waitFor());
    assertEquals(
        Files.readString(whole.resolve("results.json")),
        Files.readString(killed.resolve("results.json")));
  }

  private Process start(Path config, Path out) throws IOException {
    ProcessBuilder process =
        new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            SaeCommand.class.getName(),
            "study",
            "--config",
            config.toString(),
            "--out",
            out.toString());
    // Not as an argument: ONNX Runtime 1.29 crashes if the command line exceeds 4 KiB.
    process.environment().put("CLASSPATH", System.getProperty("java.class.path"));
    return process
        .redirectErrorStream(true)
        .redirectOutput(ProcessBuilder.Redirect.appendTo(dir.resolve("log.txt").toFile()))
        .start();
  }

  private static long stepsDone(Path out) throws IOException {
    if (!Files.isDirectory(out)) {
      return 0;
    }
    try (Stream<Path> files = Files.walk(out)) {
      return files.filter(file -> file.endsWith("step.json")).count();
    }
  }
}
