package io.faithfulsae.cli;

import static io.faithfulsae.cli.Tiny.sae;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.cli.Tiny.Ran;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.study.EmbeddedModel;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Errors a user sees: one line that says what is wrong, and no stack trace. */
final class BadInputTest {
  @TempDir Path dir;

  @Test
  void hookThatTheModelLacksListsThoseItHas() throws IOException {
    Path tokens = Files.writeString(dir.resolve("t.json"), "[[0, 1, 2]]");
    Ran ran =
        sae(
            "activations",
            "--hook",
            "blocks.9.hook_resid_pre",
            "--tokens",
            tokens,
            "--out",
            dir.resolve("o"));
    assertFailed(
        ran, 1, "L in [0, 4)", "hook_resid_pre", "hook_mlp_out", "got blocks.9.hook_resid_pre");
    assertFailed(
        sae("activations", "--hook", "layer 3", "--tokens", tokens, "--out", dir.resolve("o")),
        2,
        "blocks.8.hook_resid_pre");
  }

  @Test
  void moreActiveLatentsThanLatents() throws IOException {
    Ran ran = train(Tiny.shards(dir.resolve("in")), "--d-sae", 8, "--k", 9);
    assertFailed(ran, 2, "k in [1, d_sae = 8]", "got k = 9");
  }

  @Test
  void numbersThatAreNotFinite() throws IOException {
    Path rows = Tiny.shards(dir.resolve("in"));
    for (String lr : new String[] {"NaN", "1e999", "-Infinity"}) {
      assertFailed(
          train(rows, "--d-sae", 8, "--k", 2, "--lr", lr),
          2,
          "--lr",
          "expected a finite number, got " + lr);
    }
    for (String value : new String[] {"NaN", "1e999", "Infinity", ".nan", "-.inf"}) {
      Path study = Files.writeString(dir.resolve("s.yaml"), "training: {lr: " + value + "}\n");
      assertFailed(
          sae("study", "--config", study, "--out", dir.resolve("study")),
          1,
          value.contains(".") // the parser itself rejects YAML's own spelling
              ? "s.yaml: line 1: expected YAML, got Malformed numeric value '" + value + "'"
              : "s.yaml: line 1, training.lr: expected a finite number, got ");
    }
    Path results = dir.resolve("results.json");
    Files.writeString(
        results, "[{\"run\": {\"model\": \"m\", \"dataset\": \"d\"}, \"result\": {\"x\": 1e999}}]");
    assertFailed(
        sae("compare", results, "--out", dir.resolve("c.json")),
        1,
        "results.json: run 0: expected a finite number for x, got ");
  }

  @Test
  void activationsOfOneOrFourAxes() throws IOException {
    Path trained = Tiny.sae(dir, 42);
    for (long[] shape : new long[][] {{16}, {1, 1, 2, 16}}) {
      Path in = Files.createDirectories(dir.resolve("axes" + shape.length));
      Path file = in.resolve("rows.safetensors");
      FloatBuffer values = FloatBuffer.allocate(shape.length == 1 ? 16 : 32);
      Safetensors.write(
          file, Map.of(), List.of(Safetensors.Tensor.ofFloats("activations", values, shape)));
      Path out = dir.resolve("o.safetensors");
      assertFailed(
          sae("encode", "--sae", trained, "--activations", file, "--out", out),
          1,
          "expected shape [n, 16] or [sequences, length, 16], got ");
      assertFailed(
          train(in, "--d-sae", 8, "--k", 2), 1, "expected shape [n, d_in] or [sequences, length");
    }
  }

  @Test
  void nanInActivations() throws IOException {
    float[] rows = new float[16 * 100];
    Arrays.fill(rows, 1f);
    rows[16 * 37 + 2] = Float.NaN;
    Path in = Files.createDirectories(dir.resolve("nan"));
    Path file = Tiny.activations(in.resolve("rows.safetensors"), rows, 16);
    assertFailed(train(in, "--d-sae", 8, "--k", 2), 1, "expected finite activations", "row ");
    Path trained = Tiny.sae(dir, 42);
    Ran encode =
        sae(
            "encode",
            "--sae",
            trained,
            "--activations",
            file,
            "--out",
            dir.resolve("o.safetensors"));
    assertFailed(encode, 1, "expected finite activations", "row 37");
    assertFalse(Files.exists(dir.resolve("o.safetensors")));
  }

  @Test
  void truncatedAndMissingWeights() throws IOException {
    Path model = EmbeddedModel.unpack(dir.resolve("model"));
    Path weights = model.resolve("model.safetensors");
    byte[] all = Files.readAllBytes(weights);
    Files.write(weights, Arrays.copyOf(all, all.length - 1000));
    assertFailed(generate(model), 1, "model.safetensors");
    Files.delete(weights);
    assertFailed(generate(model), 1, "safetensors");
    assertFailed(generate(dir.resolve("nowhere")), 1, "nowhere");
  }

  @Test
  void modelOfAnUnknownFamily() throws IOException {
    Path model = EmbeddedModel.unpack(dir.resolve("model"));
    Path config = model.resolve("config.json");
    Files.writeString(
        config,
        Files.readString(config).replace("\"model_type\": \"gpt2\"", "\"model_type\": \"rwkv\""));
    assertFailed(generate(model), 1, "model_type", "gpt2", "llama", "rwkv");
  }

  @Test
  void textWithoutText() throws IOException {
    Path text = Files.writeString(dir.resolve("empty.txt"), " \n\n");
    Ran ran =
        sae(
            "train",
            "--hook",
            "blocks.1.hook_resid_pre",
            "--data",
            text,
            "--d-sae",
            8,
            "--k",
            2,
            "--tokens",
            5_000,
            "--out",
            dir.resolve("o"));
    assertFailed(ran, 1, "empty.txt", "expected text, got none");
  }

  @Test
  void truncatedShard() throws IOException {
    Path in = Tiny.shards(dir.resolve("in"));
    Path shard = in.resolve("rows.safetensors");
    byte[] all = Files.readAllBytes(shard);
    Files.write(shard, Arrays.copyOf(all, all.length / 2));
    assertFailed(train(in, "--d-sae", 8, "--k", 2), 1, "rows.safetensors", "activations", "bytes");
  }

  @Test
  void partsThatDoNotDivideTheBatch() throws IOException {
    Path in = Tiny.shards(dir.resolve("in"));
    assertFailed(
        train(in, "--d-sae", 8, "--k", 2, "--accumulate", 3),
        2,
        "accumulate",
        "divides batch = 50",
        "got 3");
  }

  @Test
  void usageErrorsNameTheOption() {
    assertFailed(sae("train", "--out", dir), 2, "--d-sae");
    assertFailed(
        sae("train", "--d-sae", 8, "--k", 2, "--tokens", 5_000, "--out", dir), 2, "--activations");
    assertFailed(sae("study", "--colour"), 2, "--colour");
    assertFailed(sae("nonsense"), 2, "nonsense");
  }

  @Test
  void aMisspeltWordIsAnsweredWithWhatIsMeant() {
    assertFailed(sae("trian", "--out", dir), 2, "'trian'", "Did you mean: sae train?");
    // The required option is also missing, but that is not the mistake.
    Ran misspelt = sae("train", "--d-sea", 64, "--k", 4, "--tokens", 100, "--out", dir);
    assertFailed(misspelt, 2, "Unknown option: '--d-sea'", "Possible solutions: --d-sae");
    assertFailed(sae("train", "--d-sea=64"), 2, "'--d-sea=64'", "Possible solutions: --d-sae");
    assertFailed(
        sae("train", "--d-sae", 8, "--k", 2, "--tokens", 9, "--out", dir, "--lrr", 1),
        2,
        "--lrr",
        "Possible solutions: --lr");
    assertFailed(sae("--verison"), 2, "Possible solutions: --version");
    Ran missing = sae("train", "--out", dir, "--lr", "-1");
    assertFailed(missing, 2, "Missing required options", "--d-sae");
    assertFalse(missing.err().contains("Unknown"), "a negative number is not an option");
  }

  @Test
  void debugShowsTheStackTrace() {
    Ran ran =
        sae(
            "match",
            "--debug",
            "--a",
            dir.resolve("x"),
            "--b",
            dir.resolve("y"),
            "--out",
            dir.resolve("o"));
    assertEquals(1, ran.code());
    assertTrue(ran.err().contains("\tat io.faithfulsae."), ran.err());
  }

  @Test
  void helpIsThereForEveryCommand() {
    for (String command :
        new String[] {
          "activations",
          "generate",
          "train",
          "encode",
          "evaluate",
          "match",
          "fake-features",
          "study"
        }) {
      assertTrue(sae(command, "--help").ok().out().contains("--out"), command);
    }
  }

  private Ran train(Path in, Object... shape) {
    Object[] args = {
      "train", "--activations", in, "--tokens", 100, "--batch", 50, "--out", dir.resolve("out")
    };
    Object[] all = Arrays.copyOf(args, args.length + shape.length);
    System.arraycopy(shape, 0, all, args.length, shape.length);
    return sae(all);
  }

  private Ran generate(Path model) {
    return sae(
        "generate",
        "--model",
        model,
        "--budget",
        100,
        "--max-length",
        16,
        "--out",
        dir.resolve("g.jsonl"));
  }

  private static void assertFailed(Ran ran, int code, String... words) {
    assertEquals(code, ran.code(), ran.err());
    assertFalse(ran.err().contains("\tat "), "no stack trace: " + ran.err());
    for (String word : words) {
      assertTrue(ran.err().contains(word), "expected \"" + word + "\" in: " + ran.err());
    }
  }
}
