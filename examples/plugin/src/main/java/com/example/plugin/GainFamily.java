package com.example.plugin;

import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.SaeFormat;
import io.faithfulsae.io.CheckedJson;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/**
 * A family of SAEs, in SAELens' files with {@code "architecture": "gain"}: latent j is g_j · ReLU(x
 * · w_j + b_j), with a gain g_j &gt;= 0 that was learned. As g · ReLU(z) = ReLU(g · z), the gains
 * are folded into the encoder, and what is left is a ReLU SAE.
 */
public final class GainFamily implements SaeFormat {
  private static final String CONFIG = "cfg.json";
  private static final String WEIGHTS = "sae_weights.safetensors";

  @Override
  public String name() {
    return "gain";
  }

  @Override
  public boolean recognizes(Path path) throws IOException {
    return Files.isRegularFile(path.resolve(CONFIG))
        && Files.isRegularFile(path.resolve(WEIGHTS))
        && json(path).path("architecture").asText().equals("gain");
  }

  @Override
  public Stored open(Path path) throws IOException {
    JsonNode json = json(path);
    SaeConfig config =
        new SaeConfig(
            size(path, json, "d_in"),
            size(path, json, "d_sae"),
            new Relu(),
            json.path("apply_b_dec_to_input").asBoolean(true),
            Normalization.NONE);
    String hook = json.path("metadata").path("hook_name").asText();
    return new Folder(
        config, hook.isEmpty() ? Map.of() : Map.of("hook_name", hook), path.resolve(WEIGHTS));
  }

  private static JsonNode json(Path path) throws IOException {
    return CheckedJson.parse(path.resolve(CONFIG), "save the SAE again");
  }

  private static int size(Path path, JsonNode json, String key) throws SaeFormatException {
    int size = json.path(key).asInt();
    if (size < 1) {
      throw new SaeFormatException(
          path.resolve(CONFIG), key, Expected.message("a size >= 1", size, "save the SAE again"));
    }
    return size;
  }

  private record Folder(SaeConfig config, Map<String, String> metadata, Path weights)
      implements Stored {
    @Override
    public void readWeights(BackendSae into) throws IOException {
      int d = config.dIn();
      int latents = config.dSae();
      try (Safetensors file = Safetensors.open(weights)) {
        float[] gain = tensor(file, "gain", latents);
        float[] byInput = tensor(file, "W_enc", d * latents);
        float[] bias = tensor(file, "b_enc", latents);
        FloatBuffer encoder = DirectBuffers.floats(byInput.length);
        for (int j = 0; j < latents; j++) {
          if (!(gain[j] >= 0)) {
            throw new SaeFormatException(
                weights,
                "gain",
                Expected.message("gains >= 0", gain[j] + " of latent " + j, "train it again"));
          }
          bias[j] *= gain[j];
          for (int i = 0; i < d; i++) {
            encoder.put(gain[j] * byInput[i * latents + j]); // the file has W_enc by input
          }
        }
        into.write(Tensor.W_ENC, 0, encoder.flip());
        into.write(Tensor.B_ENC, 0, direct(bias));
        into.write(Tensor.W_DEC, 0, direct(tensor(file, "W_dec", latents * d)));
        into.write(Tensor.B_DEC, 0, direct(tensor(file, "b_dec", d)));
      }
    }

    private float[] tensor(Safetensors file, String name, int elements) throws IOException {
      if (file.entry(name).elements() != elements) {
        throw new SaeFormatException(
            weights,
            name,
            Expected.message(
                elements + " elements from " + CONFIG,
                file.entry(name).elements(),
                "the files do not belong together"));
      }
      FloatBuffer values = FloatBuffer.allocate(elements);
      file.readFloats(name, 0, values);
      return values.array();
    }

    private static FloatBuffer direct(float[] values) {
      return DirectBuffers.floats(values.length).put(values).flip();
    }
  }
}
