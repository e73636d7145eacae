package io.faithfulsae.internal;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.Activation;
import io.faithfulsae.Activation.AbsTopK;
import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.Gated;
import io.faithfulsae.Activation.GroupMax;
import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.CheckedJson;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * {@code cfg.json} of SAELens: reads the version 6 format and the older flat one, writes the
 * former.
 */
final class SaeConfigFile {
  /** Checksum of the weights, in addition to the file's own. SAELens ignores both. */
  private static final String WEIGHTS_CHECKSUM = "weights_crc32c";

  /** The version of SAELens' format that is written. */
  private static final String LAYOUT_VERSION = "6.0.0";

  private static final JsonMapper JSON = new JsonMapper();

  /** Metadata: the k of a BatchTopK that is saved with its threshold, as SAELens' JumpReLU. */
  static final String BATCH_TOP_K = "batchtopk_k";

  /** Not in the metadata of the file, but beside them. */
  static final String RESHAPE = "reshape_activations";

  private SaeConfigFile() {}

  /** A folder of SAELens. */
  static SaeFile read(Path dir) throws IOException {
    Path file = dir.resolve(SaeFolder.CONFIG_FILE);
    ObjectNode json = CheckedJson.parse(file, "fetch it again");
    String weightsChecksum = null;
    if (json.has(CheckedJson.FIELD) || json.has(WEIGHTS_CHECKSUM)) {
      CheckedJson.verify(
          file, json, "restore it, or delete both checksums from it if the change is meant");
      weightsChecksum = json.path(WEIGHTS_CHECKSUM).asText();
    }
    return new SaeConfigReader(dir, file, json, weightsChecksum).read();
  }

  static void write(
      Path dir, SaeConfig config, Map<String, String> metadata, String weightsChecksum)
      throws IOException {
    ObjectNode json = JSON.createObjectNode();
    json.put("architecture", architecture(config, metadata));
    json.put("d_in", config.dIn());
    json.put("d_sae", config.dSae());
    if (isTranscoder(config, metadata)) {
      json.put("d_out", config.dOut());
    }
    boolean ranked = config.activation().latentsPerRow().isPresent();
    BatchTopK saved = savedAsJumpRelu(config.activation());
    if (ranked && saved == null) {
      json.put("k", config.k());
    }
    json.put("dtype", "float32");
    json.put("device", "cpu");
    json.put("apply_b_dec_to_input", config.subtractDecoderBias());
    json.put("normalize_activations", config.normalization().id());
    json.put(RESHAPE, metadata.getOrDefault(RESHAPE, "none"));
    if (ranked && saved == null) {
      json.put("rescale_acts_by_decoder_norm", false);
    }
    ObjectNode node = json.putObject("metadata");
    node.put("sae_lens_version", LAYOUT_VERSION);
    node.putNull("sae_lens_training_version");
    Map<String, String> all = new TreeMap<>(metadata);
    all.remove(RESHAPE);
    if (saved != null) {
      all.put(BATCH_TOP_K, String.valueOf(saved.k()));
      all.putIfAbsent("training_architecture", "batchtopk");
    }
    all.forEach(
        (key, value) -> {
          if (!key.equals("sae_lens_version")) {
            node.set(key, toJson(value));
          }
        });
    json.put(WEIGHTS_CHECKSUM, weightsChecksum);
    json.put(CheckedJson.FIELD, CheckedJson.of(json));
    AtomicFile.writeString(
        dir.resolve(SaeFolder.CONFIG_FILE),
        JSON.writerWithDefaultPrettyPrinter().writeValueAsString(json) + "\n");
  }

  /** A BatchTopK with a threshold, which SAELens saves as JumpReLU; null for any other. */
  static @Nullable BatchTopK savedAsJumpRelu(Activation activation) {
    return activation instanceof BatchTopK batch && batch.threshold() != null ? batch : null;
  }

  /** SAELens has its own architectures for transcoders. */
  static boolean isTranscoder(SaeConfig config, Map<String, String> metadata) {
    return config.skip()
        || config.dIn() != config.dOut()
        || (metadata.containsKey("hook_name_out")
            && !config.subtractDecoderBias()
            && config.normalization() == Normalization.NONE);
  }

  /**
   * SAELens' name; or one formed in its way, for what it has no class for (a TopK transcoder,
   * GroupMax).
   */
  static String architecture(SaeConfig config, Map<String, String> metadata) {
    String kind = kind(config.activation());
    if (!isTranscoder(config, metadata)) {
      return kind;
    }
    return (kind.equals("standard") ? "" : kind + "_")
        + (config.skip() ? "skip_transcoder" : "transcoder");
  }

  private static String kind(Activation activation) {
    if (activation instanceof TopK) {
      return "topk";
    } else if (activation instanceof BatchTopK) {
      return savedAsJumpRelu(activation) == null ? "batchtopk" : "jumprelu";
    } else if (activation instanceof JumpRelu) {
      return "jumprelu";
    } else if (activation instanceof Gated) {
      return "gated";
    } else if (activation instanceof GroupMax) {
      return "groupmax";
    } else if (activation instanceof AbsTopK) {
      return "abstopk";
    }
    return "standard";
  }

  /** Integers, booleans, objects and arrays are written as such, everything else as strings. */
  private static JsonNode toJson(String value) {
    if (value.matches("-?\\d{1,18}|true|false|\\{.*}|\\[.*]")) {
      try {
        return JSON.readTree(value);
      } catch (JsonProcessingException e) {
        return JSON.getNodeFactory().textNode(value);
      }
    }
    return JSON.getNodeFactory().textNode(value);
  }
}
