package io.faithfulsae.models;

import io.faithfulsae.io.Safetensors;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/**
 * The tiny models written by make_model_goldens.py, with helpers to read their expected outputs.
 */
public final class GoldenModels {
  private GoldenModels() {}

  static Stream<String> all() {
    return Stream.of(
        "gpt2-tied",
        "gpt2-untied-bf16",
        "llama-tied-bias",
        "llama-untied-fp16-sharded",
        "llama3-rope",
        "gptneox-parallel",
        "gptneox-serial",
        "mistral-window",
        "mistral-no-window",
        "gemma2-window",
        "gemma2-bf16",
        "gemma3-window",
        "gemma3-images-bf16",
        "qwen2",
        "qwen3");
  }

  public static Path folder(String name) {
    try {
      return Path.of(GoldenModels.class.getResource("/golden/" + name).toURI());
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  /** A copy that a test may damage. */
  static Path copy(String name, Path into) throws IOException {
    Path from = folder(name);
    Path to = Files.createDirectories(into.resolve(name));
    try (Stream<Path> files = Files.list(from)) {
      for (Path file : files.toList()) {
        Files.copy(file, to.resolve(file.getFileName()));
      }
    }
    return to;
  }

  static void edit(Path file, String from, String to) throws IOException {
    String text = Files.readString(file);
    if (!text.contains(from)) {
      throw new IllegalArgumentException(file + " has no " + from);
    }
    Files.writeString(file, text.replace(from, to));
  }

  static int[][] ints(Safetensors file, String name) throws IOException {
    int rows = (int) file.entry(name).dim(0);
    int columns = (int) file.entry(name).dim(1);
    IntBuffer flat = IntBuffer.allocate(rows * columns);
    file.readInts(name, 0, flat);
    int[][] values = new int[rows][columns];
    for (int row = 0; row < rows; row++) {
      flat.get(row * columns, values[row]);
    }
    return values;
  }

  static float[] floats(Safetensors file, String name) throws IOException {
    float[] values = new float[(int) file.entry(name).elements()];
    file.readFloats(name, 0, FloatBuffer.wrap(values));
    return values;
  }
}
