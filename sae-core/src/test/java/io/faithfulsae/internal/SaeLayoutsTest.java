package io.faithfulsae.internal;

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

class SaeLayoutsTest {
  private static final String SPARSIFY =
      """
      {"activation": "topk", "expansion_factor": 4, "normalize_decoder": true, "num_latents": 0,
       "k": 2, "multi_topk": false, "skip_connection": false, "transcode": false, "d_in": 3}
      """;

  @TempDir Path dir;

  @Test
  void aRunsFolderListsItsSaes() throws IOException {
    Path hook = sparsify(dir.resolve("run/layers.10"));
    sparsify(dir.resolve("run/layers.2"));
    Files.writeString(dir.resolve("run/state.pt"), "a trainer's");
    load(hook);
    String said = rejection(dir.resolve("run"));
    assertTrue(said.contains("a folder with 2 inside: layers.10, layers.2; add the path"), said);
    Files.delete(hook.resolve("sae.safetensors"));
    NoSuchFileException missing = assertThrows(NoSuchFileException.class, () -> load(hook));
    assertTrue(String.valueOf(missing.getMessage()).endsWith("sae.safetensors"), "" + missing);
  }

  @Test
  void gemmaScopesFileMustBeAZip() throws IOException {
    Files.writeString(dir.resolve("params.npz"), "");
    assertTrue(rejection(dir).contains("params.npz: zip: expected a zip as numpy.savez writes it"));
  }

  @Test
  void theHubsCacheIsSearched() throws IOException {
    Path cache = dir.resolve("models--EleutherAI--sae-tiny");
    Path old = cache.resolve("snapshots/0123456789abcdef0123456789abcdef01234567");
    Path main = cache.resolve("snapshots/fedcba9876543210fedcba9876543210fedcba98");
    sparsify(old.resolve("layers.1"));
    load(cache);
    load(cache.resolve("snapshots"));
    load(old);
    Path blob = Files.createDirectories(cache.resolve("blobs")).resolve("weights");
    Path hook = sparsify(main.resolve("layers.2"));
    Files.move(hook.resolve("sae.safetensors"), blob);
    Files.createSymbolicLink(
        hook.resolve("sae.safetensors"), Path.of("../../../blobs").resolve("weights"));
    assertTrue(rejection(cache).contains("expected one snapshot, or the name of one"));
    Files.createDirectories(cache.resolve("refs"));
    Files.writeString(cache.resolve("refs/main"), main.getFileName() + "\n");
    load(cache);
    load(cache.resolve("layers.2"));
    load(hook);
    sparsify(main.resolve("layers.3"));
    String said = rejection(cache);
    assertTrue(said.contains("a folder with 2 inside: layers.2, layers.3; add the path"), said);
    load(cache.resolve("layers.3"));
    Files.writeString(cache.resolve("refs/main"), "../../../elsewhere");
    assertTrue(rejection(cache).contains("expected one snapshot"));
  }

  @Test
  void deeplyNestedJsonIsRefused() throws IOException {
    Path hook = sparsify(dir.resolve("layers.10"));
    Files.writeString(hook.resolve("cfg.json"), "{\"a\":".repeat(100_000));
    assertTrue(rejection(hook).contains("cfg.json: JSON: expected an object, got"));
  }

  @Test
  void whatIsNobodysStaysUnknown() throws IOException {
    Path folder = Files.createDirectories(dir.resolve("empty"));
    assertThrows(NoSuchFileException.class, () -> load(folder));
    assertThrows(NoSuchFileException.class, () -> load(dir.resolve("nowhere")));
    Files.writeString(folder.resolve("cfg.json"), "{}");
    assertTrue(rejection(folder).contains("d_in: expected a whole number >= 1, got nothing"));
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
