package io.faithfulsae.cli;

import static io.faithfulsae.cli.Tiny.sae;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ShardIndex;
import io.faithfulsae.ShardIndex.Precision;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code sae activations --data} and training on its output. */
@Tag("slow")
final class ShardsCommandTest {
  private static final String HOOK = "blocks.1.hook_resid_pre";

  @TempDir Path dir;
  private Path text;

  @BeforeEach
  void writeText() throws IOException {
    StringBuilder story = new StringBuilder();
    for (int i = 0; i < 2_000; i++) {
      story.append("once upon a time there was a cat who had ").append(i).append(" friends. ");
      story.append(i % 50 == 49 ? "<|endoftext|>" : "");
    }
    text = Files.writeString(dir.resolve("text.txt"), story);
  }

  @Test
  void trainingOnShardsGivesTheWeightsOfTrainingOnTheModel() throws IOException {
    Path shards = dir.resolve("shards");
    sae(activations(shards, "fp32", "--rows", 6_000)).ok();
    ShardIndex index = ShardIndex.read(shards);
    assertEquals(6_000, index.rows());
    assertEquals(Precision.FP32, index.precision());
    assertEquals(HOOK, index.metadata().get("hook_name"));
    assertEquals("tiny-stories-gpt2", index.metadata().get("model_name"));
    assertTrue(index.metadata().get("dataset").contains("sha256"), index.metadata().toString());
    assertEquals(64, index.metadata().get("model_sha256").length());
    assertEquals(64, index.metadata().get("tokenizer_sha256").length());
    assertTrue(index.shards().size() > 3);

    Path live = dir.resolve("live");
    Path stored = dir.resolve("stored");
    // As many rows as the shards have, so that both read the same rows before starting over.
    sae(train(live, "--hook", HOOK, "--data", text, "--context", 24)).ok();
    sae(train(stored, "--activations", shards)).ok();
    assertArrayEquals(
        Files.readAllBytes(live.resolve("sae_weights.safetensors")),
        Files.readAllBytes(stored.resolve("sae_weights.safetensors")));
    // The SAE records its model and hook, so evaluation needs no options for them.
    sae(
            "evaluate",
            "--sae",
            stored,
            "--data",
            text,
            "--ce-tokens",
            100,
            "--rows",
            500,
            "--out",
            dir.resolve("e.json"))
        .ok();
  }

  @Test
  void killedAndInterruptedWritersGoOnToTheSameBytes() throws IOException, InterruptedException {
    Path whole = dir.resolve("whole");
    sae(activations(whole, "bf16")).ok();
    Map<String, ByteBuffer> expected = bytes(whole);
    assertTrue(expected.size() > 20, expected.keySet().toString());
    Path out = dir.resolve("stopped");
    for (boolean kill : new boolean[] {true, false, true}) {
      int before = shards(out);
      Process process = start(activations(out, "bf16"));
      while (shards(out) < before + 3 && process.isAlive()) {
        Thread.sleep(2);
      }
      if (kill) {
        process.destroyForcibly();
      } else {
        new ProcessBuilder("kill", "-INT", String.valueOf(process.pid())).start().waitFor();
      }
      assertTrue(process.waitFor(60, TimeUnit.SECONDS));
      String said = Files.readString(dir.resolve("log.txt"));
      if (!kill) {
        assertEquals(130, process.exitValue(), said);
        assertTrue(said.contains("the same command resumes there"), said);
      }
      assertTrue(ShardIndex.isIn(out), "nothing was written: " + process.exitValue() + said);
      assertFalse(ShardIndex.read(out).complete(), "stopped before the end: " + said);
    }
    sae(activations(out, "bf16")).ok();
    assertEquals(expected, bytes(out));
  }

  /** One shard holds the whole text, so none is full when the writer is stopped. */
  @Test
  void ctrlCKeepsTheRowsOfAShardThatIsNotFull() throws IOException, InterruptedException {
    Path whole = dir.resolve("whole");
    sae(activations(whole, "fp32", "--shard-bytes", "256M")).ok();
    Path out = dir.resolve("stopped");
    long rows = 0;
    for (int stop = 0; stop < 2; stop++) {
      Process process = start(activations(out, "fp32", "--shard-bytes", "256M"));
      while (!Files.exists(out.resolve(".lock")) && process.isAlive()) {
        Thread.sleep(2);
      }
      new ProcessBuilder("kill", "-INT", String.valueOf(process.pid())).start().waitFor();
      assertTrue(process.waitFor(60, TimeUnit.SECONDS));
      String said = Files.readString(dir.resolve("log.txt"));
      assertEquals(130, process.exitValue(), said);
      ShardIndex index = ShardIndex.read(out);
      assertFalse(index.complete(), said);
      assertTrue(index.rows() > rows, index.rows() + " rows after " + rows + said);
      assertTrue(said.contains("stopped after " + index.rows() + " rows in 1 shards"), said);
      rows = index.rows();
    }
    sae(activations(out, "fp32", "--shard-bytes", "256M")).ok();
    assertEquals(bytes(whole), bytes(out));
  }

  @Test
  void saysWhatIsWrongBeforeItStarts() {
    Tiny.Ran tooMuch = sae(activations(dir.resolve("a"), "fp32", "--max-bytes", "1M"));
    assertEquals(1, tooMuch.code());
    assertTrue(tooMuch.err().contains("expected at most 1,048,576 bytes of shards"), tooMuch.err());
    assertEquals(2, sae(activations(dir.resolve("a"), "fp32", "--max-bytes", "1 apple")).code());
    assertEquals(2, sae(activations(dir.resolve("a"), "fp32", "--logits")).code());
    assertEquals(2, sae("activations", "--hook", HOOK, "--out", dir.resolve("a")).code());
    assertEquals(2, sae(activations(dir.resolve("a"), "fp32", "--rows", 0)).code());
    Tiny.Ran field =
        sae(activations(dir.resolve("a"), "fp32", "--data", dir.resolve("no.parquet")));
    assertTrue(field.code() != 0 && field.err().contains("--data"), field.err());
  }

  private Object[] activations(Path out, String type, Object... more) {
    List<Object> arguments =
        new ArrayList<>(
            List.of(
                "activations",
                "--hook",
                HOOK,
                "--data",
                text,
                "--context",
                24,
                "--out",
                out,
                "--dtype",
                type,
                "--batch-sequences",
                32,
                "--threads",
                1));
    arguments.addAll(Arrays.asList(more));
    if (!arguments.contains("--shard-bytes")) {
      arguments.addAll(List.of("--shard-bytes", "200K"));
    }
    return arguments.toArray();
  }

  private static Object[] train(Path out, Object... more) {
    List<Object> arguments =
        new ArrayList<>(
            List.of(
                "train",
                "--d-sae",
                64,
                "--k",
                4,
                "--batch",
                100,
                "--buffer-rows",
                1_000,
                "--tokens",
                6_000,
                "--batch-sequences",
                32,
                "--threads",
                1,
                "--out",
                out));
    arguments.addAll(Arrays.asList(more));
    return arguments.toArray();
  }

  private Process start(Object... arguments) throws IOException {
    List<String> command =
        new ArrayList<>(
            List.of(
                // A background job ignores SIGINT, and so would what it starts.
                "env",
                "--default-signal=INT",
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                // Longer than ONNX Runtime can match on an ordinary thread's stack.
                System.getProperty("java.class.path") + ":" + "x".repeat(8_000),
                SaeCommand.class.getName()));
    Arrays.stream(arguments).map(String::valueOf).forEach(command::add);
    return new ProcessBuilder(command)
        .redirectErrorStream(true)
        .redirectOutput(dir.resolve("log.txt").toFile())
        .start();
  }

  private static int shards(Path out) throws IOException {
    return ShardIndex.isIn(out) ? ShardIndex.read(out).shards().size() : 0;
  }

  private static Map<String, ByteBuffer> bytes(Path dir) throws IOException {
    Map<String, ByteBuffer> files = new TreeMap<>();
    try (Stream<Path> list = Files.list(dir)) {
      for (Path file : list.toList()) {
        files.put(file.getFileName().toString(), ByteBuffer.wrap(Files.readAllBytes(file)));
      }
    }
    return files;
  }
}
