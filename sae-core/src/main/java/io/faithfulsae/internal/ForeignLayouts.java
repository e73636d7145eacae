package io.faithfulsae.internal;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** Detects SAE folders written by other libraries, so that the error can name the library. */
final class ForeignLayouts {
  private static final JsonMapper JSON = new JsonMapper();

  private ForeignLayouts() {}

  /**
   * Accepts a folder in SAELens format or in an unknown one.
   *
   * @throws SaeFormatException if it is in another library's format
   */
  static void reject(Path dir) throws IOException {
    if (has(dir, SaeFolder.WEIGHTS_FILE)) {
      return;
    }
    JsonNode config = json(dir.resolve(SaeFolder.CONFIG_FILE));
    if (has(dir, "sae.safetensors")
        || (!config.has("d_sae")
            && (config.has("num_latents") || config.has("expansion_factor")))) {
      throw rejection(
          dir,
          "sparsify",
          "sae.safetensors, and a cfg.json with expansion_factor and num_latents",
          "the architecture");
    }
    List<Path> inside = folders(dir);
    if (!has(dir, SaeFolder.CONFIG_FILE)
        && inside.stream().anyMatch(folder -> has(folder, "sae.safetensors"))) {
      throw rejection(
          dir, "sparsify", "a folder for each hook point with sae.safetensors", "cfg.json");
    }
    if (has(dir, "ae.pt")) {
      throw rejection(dir, "dictionary_learning", "ae.pt, with config.json", "cfg.json");
    }
    if (has(dir, "params.npz")) {
      throw rejection(dir, "Gemma Scope", "params.npz", "cfg.json");
    }
    if (has(dir, "sae.pt")) {
      throw rejection(dir, "BatchTopK", "sae.pt, with config.json", "cfg.json");
    }
  }

  private static SaeFormatException rejection(
      Path dir, String library, String marks, String alsoMissing) {
    return new SaeFormatException(
        dir,
        "layout",
        Expected.message(
            "a folder of SAELens (cfg.json with architecture topk, and sae_weights.safetensors)",
            "one of "
                + library
                + " ("
                + marks
                + "), in which "
                + alsoMissing
                + " and sae_weights.safetensors are missing",
            "convert it to SAELens' layout"));
  }

  private static boolean has(Path dir, String file) {
    return Files.isRegularFile(dir.resolve(file));
  }

  private static List<Path> folders(Path dir) throws IOException {
    if (!Files.isDirectory(dir)) {
      return List.of();
    }
    try (Stream<Path> entries = Files.list(dir)) {
      return entries.filter(Files::isDirectory).toList();
    }
  }

  /** Invalid JSON is left for the reader of SAELens' file to reject. */
  private static JsonNode json(Path file) throws IOException {
    if (!Files.isRegularFile(file)) {
      return JSON.missingNode();
    }
    try {
      return JSON.readTree(Files.readAllBytes(file));
    } catch (JsonProcessingException e) {
      return JSON.missingNode();
    }
  }
}
