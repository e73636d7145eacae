package io.faithfulsae.golden;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** SAEs that sparsify, dictionary_learning, OpenAI's code and BatchTopK wrote themselves. */
class PeerFilesTest {
  private static final float TOLERANCE = 1e-5f;
  private static final Map<String, String> CONFIG =
      Map.of("sae.safetensors", "cfg.json", "ae.pt", "config.json", "sae.pt", "config.json");

  @TempDir Path dir;
  private final Backend backend = new ReferenceBackend();

  @AfterEach
  void close() {
    backend.close();
  }

  @ParameterizedTest
  @CsvSource({
    "peer_sparsify/layers.3, sae.safetensors, blocks.3.hook_resid_post",
    "peer_sparsify_bf16/layers.3, sae.safetensors, blocks.3.hook_resid_post",
    "peer_dictionary_learning/trainer_0, ae.pt, blocks.3.hook_resid_post",
    "peer_dictionary_learning_interrupted, ae.pt, blocks.3.hook_resid_post",
    "peer_batchtopk, sae.pt, blocks.3.hook_resid_pre",
    "peer_batchtopk_plain, sae.pt, blocks.3.hook_resid_pre",
  })
  void foldersComputeWhatTheirWritersCompute(String name, String weights, String hook)
      throws IOException {
    Path folder = copy(name, weights);
    checkSame(folder, folder);
    try (Sae sae = Sae.load(folder, backend)) {
      assertEquals(hook, sae.metadata().get("hook_name"));
      sae.save(dir.resolve("ours"));
    }
    checkSame(dir.resolve("ours"), folder);
  }

  @ParameterizedTest
  @CsvSource({"peer_openai, 6.pt", "peer_openai_tied, 6.pt"})
  void filesComputeWhatTheirWritersCompute(String name, String weights) throws IOException {
    Path folder = copy(name, weights);
    checkSame(folder.resolve(weights), folder);
  }

  @Test
  void aCheckpointFindsTheConfigurationAboveIt() throws IOException {
    Path run = copy("peer_dictionary_learning/trainer_0", "ae.pt");
    Path checkpoint = Goldens.copy("peer_dictionary_learning/trainer_0/checkpoints/ae_10.pt", dir);
    Goldens.copy("peer_dictionary_learning/trainer_0/checkpoints/expected.safetensors", dir);
    checkSame(checkpoint, run.resolve("checkpoints"));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "peer_sparsify/layers.3|sae.safetensors|\"topk\"|\"softmax\"|sparsify's softmax",
        "peer_sparsify/layers.3|sae.safetensors|connection\": false|connection\": true|W_skip: expected a tensor of this name",
        "peer_sparsify/layers.3|sae.safetensors|factor\": 4|factor\": 5|shape [30, 6] from cfg.json, got [24, 6]",
        "peer_sparsify/layers.3|sae.safetensors|factor\": 4|factor\": 1000000000|fewer than 2^31 latents",
        "peer_sparsify/layers.3|sae.safetensors|\"d_in\": 6|\"d_in\": -6|d_in: expected a whole number >= 1, got -6",
        "peer_dictionary_learning/trainer_0|ae.pt|AutoEncoderTopK\",|IdentityDict\",|dictionary_learning's IdentityDict",
        "peer_dictionary_learning/trainer_0|ae.pt|\"k\": 3|\"k\": 4|k: expected 4 from config.json, got 3",
        "peer_dictionary_learning/trainer_0|ae.pt|\"dict_size\": 24|\"dict_size\": 25|shape [25, 6] from config.json",
        "peer_batchtopk|sae.pt|\"topk\"|\"gated\"|BatchTopK's gated",
      })
  void otherArchitecturesAndSizesAreNamed(
      String name, String weights, String was, String becomes, String problem) throws IOException {
    Path folder = copy(name, weights);
    Path config = folder.resolve(String.valueOf(CONFIG.get(weights)));
    String text = Files.readString(config);
    assertTrue(text.contains(was), text);
    Files.writeString(config, text.replace(was, becomes));
    SaeFormatException e = assertThrows(SaeFormatException.class, () -> Sae.load(folder, backend));
    assertTrue(e.getMessage().contains(problem), e.getMessage());
    assertEquals(0, backend.liveBytes());
  }

  private void checkSame(Path sae, Path folder) throws IOException {
    try (Sae loaded = Sae.load(sae, backend);
        Safetensors expected = Safetensors.open(folder.resolve("expected.safetensors"))) {
      float[] rows = Goldens.floats(expected, "x");
      int d = loaded.config().dIn();
      int f = loaded.config().dSae();
      int n = rows.length / d;
      try (ActivationBatch x = ActivationBatch.allocate(backend, n, d)) {
        x.data().put(rows);
        x.rows(n);
        try (Latents latents = loaded.encode(x)) {
          float[] dense = new float[n * f];
          for (int i = 0; i < n * latents.k(); i++) {
            dense[i / latents.k() * f + latents.indices().get(i)] = latents.values().get(i);
          }
          assertArrayEquals(Goldens.floats(expected, "features"), dense, TOLERANCE);
          loaded.decode(latents, x);
        }
        float[] decoded = new float[rows.length];
        x.data().get(decoded);
        assertArrayEquals(Goldens.floats(expected, "reconstruction"), decoded, TOLERANCE);
      }
    }
  }

  private Path copy(String name, String weights) throws IOException {
    Goldens.copy(name + "/expected.safetensors", dir);
    if (CONFIG.containsKey(weights)) {
      Goldens.copy(name + "/" + CONFIG.get(weights), dir);
    }
    return Goldens.copy(name + "/" + weights, dir).getParent();
  }
}
