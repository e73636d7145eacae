package io.faithfulsae.golden;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.Tensor;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Folders written by SAELens (make_sae_goldens.py), and by this library in SAELens format. */
class SaeLensTest {
  /** Tolerance for float32 sums of six terms in another order. */
  private static final float TOLERANCE = 2e-5f;

  @TempDir Path folder;
  private final Backend backend = new ReferenceBackend();

  @AfterEach
  void close() {
    backend.close();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "saelens_v6",
        "saelens_v6_rescaled",
        "saelens_v6_layer_norm_bf16",
        "saelens_v6_no_subtract",
        "saelens_v3_flat",
        "faithfulsae_plain",
        "faithfulsae_unit_norm"
      })
  void computesWhatSaeLensComputes(String name) throws IOException {
    Path dir = copyFolder(name);
    try (Sae sae = Sae.load(dir, backend);
        Safetensors expected = Safetensors.open(dir.resolve("expected.safetensors"))) {
      assertEquals("blocks.1.hook_resid_pre", sae.metadata().get("hook_name"));
      assertEquals("16", sae.metadata().get("context_size"));
      List<float[]> result = compute(sae, Goldens.floats(expected, "x"));
      assertArrayEquals(Goldens.floats(expected, "features"), result.get(0), TOLERANCE);
      assertArrayEquals(Goldens.floats(expected, "reconstruction"), result.get(1), TOLERANCE);
    }
  }

  @Test
  void writesSaeLensBytes() throws IOException {
    Path theirs = copyFolder("saelens_v6");
    Path ours = folder.resolve("ours");
    try (Sae sae = Sae.load(theirs, backend)) {
      sae.save(ours);
    }
    assertEquals(
        -1,
        Files.mismatch(
            theirs.resolve("sae_weights.safetensors"), ours.resolve("sae_weights.safetensors")));
    try (Sae again = Sae.load(ours, backend);
        Sae first = Sae.load(theirs, backend)) {
      assertEquals(first.config(), again.config());
      assertEquals(first.metadata().get("prepend_bos"), again.metadata().get("prepend_bos"));
    }
  }

  /**
   * The folders that {@code make_sae_goldens.py --check-ours} loads into SAELens are what this
   * version writes.
   */
  @ParameterizedTest
  @CsvSource({"faithfulsae_plain,NONE", "faithfulsae_unit_norm,UNIT_NORM"})
  void stillWritesTheFoldersThatSaeLensWasShown(String name, Normalization normalization)
      throws IOException {
    Path ours = Path.of("target", "golden", name);
    try (Sae theirs = Sae.load(copyFolder("saelens_v6"), backend);
        Sae sae =
            Sae.create(
                theirs.config().withNormalization(normalization), theirs.metadata(), backend);
        Safetensors inputs = Safetensors.open(folder.resolve("saelens_v6/expected.safetensors"))) {
      for (BackendSae.Tensor tensor : BackendSae.Tensor.COMMON) {
        FloatBuffer values =
            ByteBuffer.allocateDirect(size(sae, tensor) * Float.BYTES)
                .order(ByteOrder.nativeOrder())
                .asFloatBuffer();
        theirs.parameters().read(tensor, 0, values);
        sae.parameters().write(tensor, 0, values);
      }
      sae.save(ours);
      float[] x = Goldens.floats(inputs, "x");
      List<float[]> result = compute(sae, x);
      Safetensors.write(
          ours.resolve("expected.safetensors"),
          Map.of("written_by", "SaeLensTest"),
          List.of(
              Tensor.ofFloats("x", FloatBuffer.wrap(x), 9, 6),
              Tensor.ofFloats("features", FloatBuffer.wrap(result.get(0)), 9, 20),
              Tensor.ofFloats("reconstruction", FloatBuffer.wrap(result.get(1)), 9, 6)));
    }
    Path committed = copyFolder(name);
    for (String file : List.of("cfg.json", "sae_weights.safetensors")) {
      assertEquals(-1, Files.mismatch(committed.resolve(file), ours.resolve(file)), file);
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "\"architecture\": \"topk\"|\"architecture\": \"temporal\"|a transcoder, got temporal",
        "\"architecture\": \"topk\"|\"architecture\": \"matching_pursuit\"|a transcoder, got matching_pursuit",
        "\"k\": 3|\"k\": 21|configuration: expected k in [1, d_sae = 20], got k = 21",
        "\"k\": 3|\"kk\": 3|k: expected a whole number >= 1, got nothing",
        "\"d_sae\": 20|\"d_sae\": 21|W_enc: expected shape [6, 21] from cfg.json, got [6, 20]",
        "\"none\", \"resh|\"covariance_whitening\", \"resh|normalize_activations: expected none, constant_norm",
        "\"none\", \"resh|\"expected_average_only_in\", \"resh|normalize_activations: expected_average_only_in needs",
        "_activations\": \"none\", \"meta|_activations\": \"hook_q\", \"meta|reshape_activations: expected none or hook_z, got hook_q",
        "{\"d_in\"|{{\"d_in\"|JSON: expected an object"
      })
  void rejectsByNameWhatItCannotHonour(String was, String becomes, String problem)
      throws IOException {
    Path dir = copyFolder("saelens_v6");
    Path config = dir.resolve("cfg.json");
    String text = Files.readString(config);
    assertTrue(text.contains(was), text);
    Files.writeString(config, text.replace(was, becomes));
    SaeFormatException e = assertThrows(SaeFormatException.class, () -> Sae.load(dir, backend));
    assertTrue(e.getMessage().contains(problem), e.getMessage());
    assertEquals(0, backend.liveBytes());
  }

  @Test
  void rejectsATensorThatItDoesNotKnowAndMissingFiles() throws IOException {
    Path dir = copyFolder("saelens_v6");
    Path weights = dir.resolve("sae_weights.safetensors");
    Safetensors.write(
        weights, Map.of(), List.of(Tensor.ofFloats("threshold", FloatBuffer.allocate(20), 20)));
    SaeFormatException e = assertThrows(SaeFormatException.class, () -> Sae.load(dir, backend));
    assertTrue(e.getMessage().contains("threshold: expected the tensors"), e.getMessage());
    Files.delete(weights);
    assertThrows(NoSuchFileException.class, () -> Sae.load(dir, backend));
    Files.delete(dir.resolve("cfg.json"));
    assertThrows(NoSuchFileException.class, () -> Sae.load(dir, backend));
  }

  @Test
  void foldsTheScalingFactorOfATrainingCheckpoint() throws IOException {
    Path dir = copyFolder("saelens_v6");
    Path config = dir.resolve("cfg.json");
    Files.writeString(
        config,
        Files.readString(config)
            .replace(
                "\"normalize_activations\": \"none\"",
                "\"normalize_activations\": \"expected_average_only_in\""));
    Files.writeString(dir.resolve("activation_scaler.json"), "{\"scaling_factor\": 2.5}");
    Path plain = folder.resolve("plain");
    copyFolder("saelens_v6", plain);
    try (Sae folded = Sae.load(dir, backend);
        Sae unscaled = Sae.load(plain.resolve("saelens_v6"), backend);
        Safetensors inputs = Safetensors.open(dir.resolve("expected.safetensors"))) {
      assertEquals(Normalization.NONE, folded.config().normalization());
      float[] x = Goldens.floats(inputs, "x");
      List<float[]> scaled = compute(unscaled, times(x, 2.5f));
      List<float[]> result = compute(folded, x);
      assertArrayEquals(scaled.get(0), result.get(0), TOLERANCE);
      assertArrayEquals(scaled.get(1), times(result.get(1), 2.5f), TOLERANCE);
    }
  }

  /** Dense features and the reconstruction. */
  private List<float[]> compute(Sae sae, float[] rows) {
    int d = sae.config().dIn();
    int n = rows.length / d;
    try (ActivationBatch x = ActivationBatch.allocate(backend, n, d)) {
      x.data().put(rows);
      x.rows(n);
      try (Latents latents = sae.encode(x)) {
        float[] dense = new float[n * sae.config().dSae()];
        for (int i = 0; i < n * latents.k(); i++) {
          dense[i / latents.k() * sae.config().dSae() + latents.indices().get(i)] =
              latents.values().get(i);
        }
        sae.decode(latents, x);
        float[] decoded = new float[rows.length];
        x.data().get(decoded);
        return List.of(dense, decoded);
      }
    }
  }

  private static int size(Sae sae, BackendSae.Tensor tensor) {
    return (int) sae.config().shape().elements(tensor);
  }

  private static float[] times(float[] values, float factor) {
    float[] result = values.clone();
    for (int i = 0; i < result.length; i++) {
      result[i] *= factor;
    }
    return result;
  }

  private Path copyFolder(String name) throws IOException {
    return copyFolder(name, folder);
  }

  private static Path copyFolder(String name, Path into) throws IOException {
    for (String file : List.of("cfg.json", "sae_weights.safetensors", "expected.safetensors")) {
      Goldens.copy(name + "/" + file, into);
    }
    return into.resolve(name);
  }
}
