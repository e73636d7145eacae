package io.faithfulsae.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.Tensor;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import picocli.CommandLine;

/** Small inputs, and the command run in this process through its real entry point. */
final class Tiny {
  /** The outcome of a command. */
  record Ran(int code, String out, String err) {
    Ran ok() {
      assertEquals(0, code, err);
      return this;
    }

    JsonNode json() throws IOException {
      return new JsonMapper().readTree(out);
    }
  }

  private Tiny() {}

  static Ran sae(Object... args) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    String[] words = List.of(args).stream().map(String::valueOf).toArray(String[]::new);
    int code = SaeCommand.run(new PrintWriter(out, true), new PrintWriter(err, true), words);
    return new Ran(code, out.toString(), err.toString());
  }

  static CommandLine line() {
    return SaeCommand.line(
        new PrintWriter(new StringWriter()), new PrintWriter(new StringWriter()));
  }

  /** Random rows [n, dIn] as a shard. */
  static Path activations(Path file, int n, int dIn) throws IOException {
    float[] rows = new float[n * dIn];
    Random random = new Random(7);
    for (int i = 0; i < rows.length; i++) {
      rows[i] = (float) random.nextGaussian();
    }
    return activations(file, rows, dIn);
  }

  static Path activations(Path file, float[] rows, int dIn) throws IOException {
    Safetensors.write(
        file,
        Map.of(),
        List.of(Tensor.ofFloats("activations", FloatBuffer.wrap(rows), rows.length / dIn, dIn)));
    return file;
  }

  /** A folder with one shard. */
  static Path shards(Path dir) throws IOException {
    Files.createDirectories(dir);
    activations(dir.resolve("rows.safetensors"), 3_000, 16);
    return dir;
  }

  /** A trained SAE of 32 latents on {@link #shards}. */
  static Path sae(Path dir, long seed) throws IOException {
    Path out = dir.resolve("sae-" + seed);
    sae(
            "train",
            "--activations",
            shards(dir.resolve("shards")),
            "--d-sae",
            32,
            "--k",
            4,
            "--tokens",
            6_000,
            "--batch",
            500,
            "--seed",
            seed,
            "--out",
            out)
        .ok();
    return out;
  }

  static float[] floats(Path file, String tensor) throws IOException {
    try (Safetensors tensors = Safetensors.open(file)) {
      float[] values = new float[Math.toIntExact(tensors.entry(tensor).elements())];
      tensors.readFloats(tensor, 0, FloatBuffer.wrap(values));
      return values;
    }
  }
}
