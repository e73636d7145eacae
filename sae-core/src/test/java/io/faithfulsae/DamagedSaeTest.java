package io.faithfulsae;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.Mutations;
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
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Loading an SAE with modified files gives the one that was saved, or fails. */
class DamagedSaeTest {
  private static final SaeConfig CONFIG =
      new SaeConfig(4, 6, new Activation.TopK(2), false, Normalization.CONSTANT_NORM_RESCALE);

  @TempDir Path dir;
  private final Backend backend = new ReferenceBackend();
  private Path config;
  private Path weights;

  @BeforeEach
  void save() throws IOException {
    Map<String, String> metadata = Map.of("model_name", "tiny", "hook_name", "blocks.1", "n", "7");
    try (Sae sae = Sae.create(CONFIG, metadata, backend)) {
      for (BackendSae.Tensor tensor : BackendSae.Tensor.COMMON) {
        FloatBuffer values = buffer(size(tensor));
        for (int i = 0; i < values.capacity(); i++) {
          values.put(i, (float) Math.sin(i + tensor.ordinal()));
        }
        sae.parameters().write(tensor, 0, values);
      }
      sae.save(dir);
    }
    config = dir.resolve("cfg.json");
    weights = dir.resolve("sae_weights.safetensors");
  }

  @AfterEach
  void close() {
    assertEquals(0, backend.liveBytes());
    backend.close();
  }

  @Test
  void aDamagedConfigurationIsNotBelieved() throws IOException {
    assertTrue(Mutations.check(config, 3000, 17, Integer.MAX_VALUE, this::load) > 2000);
  }

  @Test
  void damagedWeightsAreNotRead() throws IOException {
    assertTrue(Mutations.check(weights, 1000, 17, 600, this::load) > 900);
  }

  @Test
  void aConfigurationThatIsEditedOnPurposeIsRead() throws IOException {
    String text = Files.readString(config);
    String edited = text.replace("\"k\" : 2", "\"k\" : 3");
    Files.writeString(config, edited);
    String said = assertThrows(SaeFormatException.class, this::load).getMessage();
    assertTrue(said.contains("cfg.json: checksum: expected ") && said.contains("delete"), said);
    Files.writeString(
        config, edited.replaceAll(",\\s*\"(weights_crc32c|checksum)\" : \"\\w+\"", ""));
    try (Sae sae = Sae.load(dir, backend)) {
      assertEquals(3, sae.config().k());
      sae.save(dir);
    }
    load();
  }

  @Test
  void theWeightsOfAnotherSaeAreFound() throws IOException {
    Path other = dir.resolve("other");
    try (Sae sae = Sae.create(CONFIG, backend)) {
      sae.save(other);
    }
    Files.delete(weights);
    Files.move(other.resolve("sae_weights.safetensors"), weights);
    String said = assertThrows(SaeFormatException.class, this::load).getMessage();
    assertTrue(said.contains("sae_weights.safetensors: checksum: expected "), said);
  }

  @ParameterizedTest
  @CsvSource({"W_enc,13,NaN", "W_dec,23,Infinity", "b_enc,5,-Infinity", "b_dec,0,NaN"})
  void weightsThatAreNotFiniteAreNamed(String tensor, int at, float value) throws IOException {
    foreign(1, tensor, at, value);
    String said = assertThrows(SaeFormatException.class, this::load).getMessage();
    assertTrue(
        said.contains(
            "sae_weights.safetensors: "
                + tensor
                + ": expected finite weights, got "
                + value
                + " in element "
                + at
                + " "),
        said);
  }

  @Test
  void weightsThatAreNotFiniteOnceTheyAreScaledAreNamed() throws IOException {
    foreign(1e30f, "none", 0, 0);
    String text = Files.readString(config);
    Files.writeString(config, text.replace("decoder_norm\" : false", "decoder_norm\" : true"));
    String said = assertThrows(SaeFormatException.class, this::load).getMessage();
    assertTrue(said.contains("W_enc, scaled and transposed: expected finite weights"), said);
  }

  /** Weights as other programs write them, and an edited configuration. */
  private void foreign(float scale, String changed, int at, float value) throws IOException {
    List<Tensor> tensors = new ArrayList<>();
    long[][] shapes = {{4, 6}, {6, 4}, {6}, {4}};
    String[] names = {"W_enc", "W_dec", "b_enc", "b_dec"};
    for (int t = 0; t < names.length; t++) {
      FloatBuffer values =
          buffer((int) java.util.Arrays.stream(shapes[t]).reduce(1, (a, b) -> a * b));
      for (int i = 0; i < values.capacity(); i++) {
        values.put(i, scale * (i + 1));
      }
      if (names[t].equals(changed)) {
        values.put(at, value);
      }
      tensors.add(Tensor.ofFloats(names[t], values, shapes[t]));
    }
    Safetensors.write(weights, Map.of(), tensors);
    String text = Files.readString(config);
    Files.writeString(config, text.replaceAll(",\\s*\"(weights_crc32c|checksum)\" : \"\\w+\"", ""));
  }

  private Object load() throws IOException {
    try (Sae sae = Sae.load(dir, backend)) {
      List<Object> all = new ArrayList<>(List.of(sae.config(), sae.metadata()));
      for (BackendSae.Tensor tensor : BackendSae.Tensor.COMMON) {
        FloatBuffer values = buffer(size(tensor));
        sae.parameters().read(tensor, 0, values);
        all.add(values);
      }
      return all;
    }
  }

  private static int size(BackendSae.Tensor tensor) {
    return (int) CONFIG.shape().elements(tensor);
  }

  private static FloatBuffer buffer(int floats) {
    return ByteBuffer.allocateDirect(floats * 4).order(ByteOrder.nativeOrder()).asFloatBuffer();
  }
}
