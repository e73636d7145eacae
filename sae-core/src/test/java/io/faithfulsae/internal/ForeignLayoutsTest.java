package io.faithfulsae.internal;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Sae;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.Tensor;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ForeignLayoutsTest {
  private static final String SPARSIFY =
      """
      {"activation": "topk", "expansion_factor": 4, "normalize_decoder": true, "num_latents": 0,
       "k": 2, "multi_topk": false, "skip_connection": false, "transcode": false, "d_in": 3}
      """;

  @TempDir Path dir;

  @Test
  void sparsifysFolderIsNamed() throws IOException {
    Path hook = sparsify(dir.resolve("run/layers.10"));
    String said = rejection(hook);
    assertTrue(said.contains("got one of sparsify"), said);
    assertTrue(
        said.contains("expected a folder of SAELens (cfg.json with architecture topk"), said);
    assertTrue(said.contains("sae_weights.safetensors are missing"), said);
    assertFalse(said.contains("standard"), said);
    assertTrue(rejection(dir.resolve("run")).contains("got one of sparsify"));
    Files.delete(hook.resolve("sae.safetensors"));
    assertTrue(rejection(hook).contains("got one of sparsify"), "by its configuration alone");
  }

  @Test
  void otherLibrariesFoldersAreNamed() throws IOException {
    for (String[] layout :
        new String[][] {
          {"ae.pt", "config.json", "dictionary_learning"},
          {"params.npz", "README.md", "Gemma Scope"},
          {"sae.pt", "config.json", "BatchTopK"}
        }) {
      Path folder = Files.createDirectories(dir.resolve(layout[2]));
      Files.writeString(folder.resolve(layout[0]), "");
      Files.writeString(folder.resolve(layout[1]), "{}");
      String said = rejection(folder);
      assertTrue(said.contains("got one of " + layout[2] + " (" + layout[0]), said);
      assertTrue(said.contains("convert it to SAELens' layout"), said);
    }
  }

  @Test
  void whatIsNobodysStaysUnknown() throws IOException {
    Path folder = Files.createDirectories(dir.resolve("empty"));
    assertThrows(NoSuchFileException.class, () -> load(folder));
    assertThrows(NoSuchFileException.class, () -> load(dir.resolve("nowhere")));
    Files.writeString(folder.resolve("cfg.json"), "{}");
    assertFalse(rejection(folder).contains("got one of"));
  }

  private static Path sparsify(Path folder) throws IOException {
    Files.createDirectories(folder);
    Files.writeString(folder.resolve("cfg.json"), SPARSIFY);
    Safetensors.write(
        folder.resolve("sae.safetensors"),
        Map.of(),
        List.of(
            Tensor.ofFloats("W_dec", FloatBuffer.allocate(36), 12, 3),
            Tensor.ofFloats("b_dec", FloatBuffer.allocate(3), 3),
            Tensor.ofFloats("encoder.bias", FloatBuffer.allocate(12), 12),
            Tensor.ofFloats("encoder.weight", FloatBuffer.allocate(36), 12, 3)));
    return folder;
  }

  private static String rejection(Path folder) {
    return String.valueOf(assertThrows(SaeFormatException.class, () -> load(folder)).getMessage());
  }

  private static void load(Path folder) throws IOException {
    try (Backend backend = new ReferenceBackend()) {
      Sae.load(folder, backend).close();
    }
  }
}
