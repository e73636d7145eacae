package io.faithfulsae.internal;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.Activation.GroupMax;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Writes sparsify's folders; what is not in its configuration, it ignores. */
final class SparsifyWriter {
  private static final JsonMapper JSON = new JsonMapper();

  private SparsifyWriter() {}

  /**
   * Checks that sparsify can express it.
   *
   * @throws IllegalArgumentException if not
   */
  static void check(SaeConfig config) {
    if (!(config.activation() instanceof TopK) && !(config.activation() instanceof GroupMax)) {
      throw cannot("TopK or GroupMax", config.activation());
    }
    if (config.dIn() != config.dOut()) {
      throw cannot("d_out = d_in = " + config.dIn(), config.dOut());
    }
    if (config.normalization() != Normalization.NONE) {
      throw cannot("rows that are not normalized", config.normalization());
    }
  }

  private static IllegalArgumentException cannot(String expected, Object got) {
    return new IllegalArgumentException(
        Expected.message(expected + ", which sparsify can express", got, "use another format"));
  }

  static void write(Path dir, SaeConfig config, Map<String, String> metadata, BackendSae from)
      throws IOException {
    WeightsWriter weights = new WeightsWriter(config, from, 1);
    List<Safetensors.Tensor> tensors = new ArrayList<>();
    tensors.add(weights.plain("encoder.weight", Tensor.W_ENC));
    tensors.add(weights.plain("encoder.bias", Tensor.B_ENC));
    tensors.add(weights.plain("W_dec", Tensor.W_DEC));
    tensors.add(weights.plain("b_dec", Tensor.B_DEC));
    if (config.skip()) {
      tensors.add(weights.plain("W_skip", Tensor.W_SKIP));
    }
    Safetensors.write(dir.resolve(SparsifyLayout.WEIGHTS_FILE), Map.of(), tensors);
    ObjectNode json = JSON.createObjectNode();
    json.put("activation", config.activation() instanceof TopK ? "topk" : "groupmax");
    json.put("expansion_factor", Math.max(1, config.dSae() / config.dIn()));
    json.put("normalize_decoder", config.subtractDecoderBias());
    json.put("num_latents", config.dSae());
    json.put("k", config.k());
    json.put("multi_topk", false);
    json.put("skip_connection", config.skip());
    json.put("transcode", !config.subtractDecoderBias());
    json.put("d_in", config.dIn());
    PeerConfig.putMetadata(json, metadata);
    AtomicFile.writeString(
        dir.resolve(SaeFolder.CONFIG_FILE), JSON.writeValueAsString(json) + "\n");
  }
}
