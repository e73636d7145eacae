package io.faithfulsae.cli.doctor;

import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.spi.ModelConfig;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.study.EmbeddedModel;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** Language models: the bundled one is run, downloaded ones are listed. */
final class ModelChecks {
  private ModelChecks() {}

  /** Runs ONNX Runtime's and the tokenizer's native code. */
  static List<Finding> bundledModel() throws IOException {
    Path folder = EmbeddedModel.unpackToCache();
    try (Tokenizer tokenizer = Tokenizer.open(folder);
        OnnxModel model = OnnxModel.open(folder)) {
      int[] tokens = tokenizer.encode("Once upon a time");
      FloatBuffer logits = FloatBuffer.allocate(tokens.length * model.vocabularySize());
      model.logits(new int[][] {tokens}, logits);
      return List.of(
          Finding.ok(
              "language model",
              "the bundled one read " + tokens.length + " tokens with ONNX Runtime"));
    }
  }

  /** The Hugging Face hub's cache, by the rules of its own tools. */
  static Path hub(Map<String, String> environment, Path home) {
    String cache = environment.getOrDefault("HF_HUB_CACHE", "");
    if (!cache.isBlank()) {
      return Path.of(cache);
    }
    String own = environment.getOrDefault("HF_HOME", "");
    String general = environment.getOrDefault("XDG_CACHE_HOME", "");
    Path base =
        !own.isBlank()
            ? Path.of(own)
            : (general.isBlank() ? home.resolve(".cache") : Path.of(general))
                .resolve("huggingface");
    return base.resolve("hub");
  }

  /** The models in a hub cache, with the folder to pass as {@code --model}. */
  static List<Finding> downloaded(Path hub) throws IOException {
    List<Finding> found = new ArrayList<>();
    for (Path repository : folders(hub, "models--")) {
      for (Path snapshot : folders(repository.resolve("snapshots"), "")) {
        Path config = snapshot.resolve("config.json");
        if (Files.exists(config)) {
          found.add(downloaded(repository, snapshot, config));
        }
      }
    }
    return found.isEmpty()
        ? List.of(
            Finding.note(
                "models", "none in " + hub, "`hf download ORG/NAME` fetches one; see --model"))
        : found;
  }

  private static Finding downloaded(Path repository, Path snapshot, Path config) {
    String what =
        "model " + String.valueOf(repository.getFileName()).substring(8).replace("--", "/");
    try {
      String type = ModelConfig.read(config).text("model_type", "");
      if (!ModelFamily.installed().containsKey(type)) {
        return Finding.note(
            what,
            "model_type \"" + type + "\" in " + snapshot,
            "supported families: " + ModelFamily.installed().keySet());
      }
      try (Stream<Path> files = Files.list(snapshot)) {
        return files.anyMatch(file -> file.toString().endsWith(".safetensors"))
            ? Finding.ok(what, "--model " + snapshot)
            : Finding.note(
                what, "no *.safetensors in " + snapshot, "download it whole to use it here");
      }
    } catch (IOException e) {
      return Finding.note(what, String.valueOf(e.getMessage()), "download it again");
    }
  }

  private static List<Path> folders(Path parent, String prefix) throws IOException {
    if (!Files.isDirectory(parent)) {
      return List.of();
    }
    try (Stream<Path> entries = Files.list(parent)) {
      return entries
          .filter(Files::isDirectory)
          .filter(folder -> String.valueOf(folder.getFileName()).startsWith(prefix))
          .sorted()
          .toList();
    }
  }
}
