package io.faithfulsae.cli;

import static io.faithfulsae.cli.Tiny.sae;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.io.Safetensors;
import java.io.IOException;
import java.nio.IntBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** {@code sae activations} and {@code sae generate} on a tiny model of each family. */
final class FamiliesCommandTest {
  private static final Path GOLDEN = Path.of("../sae-models/src/test/resources/golden");
  private static final JsonMapper JSON = new JsonMapper();

  @TempDir Path dir;

  static Stream<String> models() throws IOException {
    try (Stream<Path> folders = Files.list(GOLDEN)) {
      List<String> names =
          folders
              .filter(FamiliesCommandTest::hasWeights)
              .map(folder -> folder.getFileName().toString())
              .sorted()
              .toList();
      assertTrue(names.size() >= 15, names.toString());
      return names.stream();
    }
  }

  private static boolean hasWeights(Path folder) {
    return Files.exists(folder.resolve("model.safetensors"))
        || Files.exists(folder.resolve("model.safetensors.index.json"));
  }

  @ParameterizedTest
  @MethodSource("models")
  void activationsAndLogitsAreThoseOfTransformers(String name) throws IOException {
    Path model = copy(name);
    Path expected = GOLDEN.resolve(name).resolve("expected.safetensors");
    Path tokens = dir.resolve("tokens.json");
    Files.writeString(tokens, JSON.writeValueAsString(ints(expected, "tokens.a")));
    int last = layers(JSON.readTree(model.resolve("config.json").toFile()));
    Path out = dir.resolve("out.safetensors");
    sae(
            "activations",
            "--model",
            model,
            "--hook",
            "blocks." + (last - 1) + ".hook_resid_pre",
            "--tokens",
            tokens,
            "--out",
            out,
            "--logits")
        .ok();
    assertClose(Tiny.floats(expected, "residual.a." + (last - 1)), Tiny.floats(out, "activations"));
    assertClose(Tiny.floats(expected, "logits.a"), Tiny.floats(out, "logits"));
  }

  /** The name of the field, and whether it is in a nested section, differ between families. */
  private static int layers(JsonNode config) {
    return Stream.of(
            config.path("num_hidden_layers"),
            config.path("n_layer"),
            config.path("text_config").path("num_hidden_layers"))
        .filter(JsonNode::isInt)
        .findFirst()
        .orElseThrow()
        .asInt();
  }

  /** At a temperature near 0, each sampled token is the likeliest given those before it. */
  @ParameterizedTest
  @MethodSource("models")
  void whatAModelWritesIsWhatItsLogitsSay(String name) throws IOException {
    Path model = copy(name);
    Path text = dir.resolve("text.jsonl");
    sae(
            "generate",
            "--model",
            model,
            "--budget",
            40,
            "--max-length",
            9,
            "--batch",
            3,
            "--temperature",
            1e-4,
            "--out",
            text)
        .ok();
    JsonNode ids = JSON.readTree(Files.readAllLines(text).get(0)).path("token_ids");
    assertTrue(ids.size() >= 2 && ids.size() <= 9, ids.toString());
    Path tokens = Files.writeString(dir.resolve("tokens.json"), "[" + ids + "]");
    Path out = dir.resolve("out.safetensors");
    sae(
            "activations",
            "--model",
            model,
            "--hook",
            "blocks.0.hook_resid_pre",
            "--tokens",
            tokens,
            "--out",
            out,
            "--logits")
        .ok();
    float[] logits = Tiny.floats(out, "logits");
    int vocabulary = logits.length / ids.size();
    for (int at = 0; at + 1 < ids.size(); at++) {
      int from = at * vocabulary;
      int likeliest =
          IntStream.range(0, vocabulary)
              .reduce(0, (a, b) -> logits[from + b] > logits[from + a] ? b : a);
      assertEquals(likeliest, ids.get(at + 1).asInt(), "token " + (at + 1) + " of " + ids);
    }
  }

  /** A copy with a tokenizer, which most tiny models lack: one word per token. */
  private Path copy(String name) throws IOException {
    Path folder = Files.createDirectories(dir.resolve(name));
    try (Stream<Path> files = Files.list(GOLDEN.resolve(name))) {
      for (Path file : files.toList()) {
        Files.copy(file, folder.resolve(file.getFileName()));
      }
    }
    if (!Files.exists(folder.resolve("tokenizer.json"))) {
      int vocabulary =
          JSON.readTree(folder.resolve("config.json").toFile()).path("vocab_size").asInt();
      String words =
          IntStream.range(0, vocabulary)
              .mapToObj(i -> "\"w" + i + "\": " + i)
              .collect(Collectors.joining(", "));
      Files.writeString(
          folder.resolve("tokenizer.json"),
          """
          {"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "WhitespaceSplit"},
           "model": {"type": "WordLevel", "unk_token": "w0", "vocab": {%s}}}
          """
              .formatted(words));
    }
    return folder;
  }

  private static int[][] ints(Path file, String name) throws IOException {
    try (Safetensors tensors = Safetensors.open(file)) {
      int rows = (int) tensors.entry(name).dim(0);
      int columns = (int) tensors.entry(name).dim(1);
      IntBuffer flat = IntBuffer.allocate(rows * columns);
      tensors.readInts(name, 0, flat);
      int[][] values = new int[rows][columns];
      for (int row = 0; row < rows; row++) {
        flat.get(row * columns, values[row]);
      }
      return values;
    }
  }

  private static void assertClose(float[] expected, float[] actual) {
    assertEquals(expected.length, actual.length);
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], actual[i], 1e-4f, "element " + i);
    }
  }
}
