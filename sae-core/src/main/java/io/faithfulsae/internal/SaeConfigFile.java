package io.faithfulsae.internal;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.CheckedJson;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
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
  private static final List<String> FLAT_METADATA =
      List.of(
          "model_name",
          "hook_name",
          "hook_layer",
          "hook_head_index",
          "dataset_path",
          "context_size",
          "prepend_bos",
          "neuronpedia_id",
          "sae_lens_training_version");

  private static final SaeFile.Names TENSORS =
      new SaeFile.Names("W_enc", false, "W_dec", true, "b_enc", "b_dec", Set.of());

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
    return new Reader(dir, file, json, weightsChecksum).read();
  }

  static void write(
      Path dir, SaeConfig config, Map<String, String> metadata, String weightsChecksum)
      throws IOException {
    ObjectNode json = JSON.createObjectNode();
    json.put("architecture", "topk");
    json.put("d_in", config.dIn());
    json.put("d_sae", config.dSae());
    json.put("k", config.k());
    json.put("dtype", "float32");
    json.put("device", "cpu");
    json.put("apply_b_dec_to_input", config.subtractDecoderBias());
    json.put("normalize_activations", config.normalization().id());
    json.put("reshape_activations", "none");
    json.put("rescale_acts_by_decoder_norm", false);
    ObjectNode node = json.putObject("metadata");
    node.put("sae_lens_version", LAYOUT_VERSION);
    node.putNull("sae_lens_training_version");
    new TreeMap<>(metadata)
        .forEach(
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

  private record Reader(Path dir, Path file, JsonNode json, @Nullable String weightsChecksum) {

    SaeFile read() throws IOException {
      boolean flat = !versionSix();
      int k = checkTopK(flat);
      check("reshape_activations", json.path("reshape_activations").asText("none"), "none");
      if (json.path("finetuning_scaling_factor").asBoolean(false)) {
        throw unsupported("finetuning_scaling_factor", "false", "true");
      }
      if (flat && text("hook_name", "hook_point").contains("hook_z")) {
        throw unsupported(
            "hook_name", "a hook whose activations have one axis", text("hook_name", "hook_point"));
      }
      boolean subtract = json.path("apply_b_dec_to_input").asBoolean(true);
      double scale = 1;
      Normalization normalization = Normalization.NONE;
      String name = normalizationName();
      if (name.equals("expected_average_only_in")) {
        scale = scalingFactor();
      } else {
        normalization =
            Arrays.stream(Normalization.values())
                .filter(n -> n.id().equals(name))
                .findFirst()
                .orElseThrow(
                    () ->
                        unsupported(
                            "normalize_activations",
                            "none, constant_norm_rescale, layer_norm or expected_average_only_in",
                            name));
      }
      SaeConfig config;
      try {
        config = new SaeConfig(size("d_in"), size("d_sae"), new TopK(k), subtract, normalization);
      } catch (IllegalArgumentException e) {
        throw new SaeFormatException(file, "k", String.valueOf(e.getMessage()));
      }
      return new SaeFile(
          config,
          metadata(flat),
          SaeFolder.CONFIG_FILE,
          dir.resolve(SaeFolder.WEIGHTS_FILE),
          TensorFile::safetensors,
          TENSORS,
          new SaeFile.Folding(json.path("rescale_acts_by_decoder_norm").asBoolean(false), scale, 1),
          weightsChecksum);
    }

    private boolean versionSix() {
      String version =
          json.path("sae_lens_version")
              .asText(json.path("metadata").path("sae_lens_version").asText("0"));
      String major = version.split("[^0-9]", 2)[0];
      return major.matches("[0-9]{1,9}") && Integer.parseInt(major) >= 6;
    }

    private int checkTopK(boolean flat) throws IOException {
      JsonNode legacyK = json.path("activation_fn_kwargs").path("k");
      if (flat && text("activation_fn_str", "activation_fn").equals("topk") && legacyK.isInt()) {
        return legacyK.asInt();
      }
      check("architecture", json.path("architecture").asText("standard"), "topk");
      return legacyK.isInt() && !json.has("k") ? legacyK.asInt() : size("k");
    }

    private String normalizationName() {
      JsonNode node = json.path("normalize_activations");
      if (node.isBoolean()) {
        return node.asBoolean() ? "expected_average_only_in" : "none";
      }
      return node.isTextual() ? node.asText() : "none";
    }

    /**
     * SAELens folds the factor when it saves for inference; a training checkpoint has it in a
     * separate file.
     */
    private double scalingFactor() throws IOException {
      Path scaler = dir.resolve("activation_scaler.json");
      if (Files.exists(scaler)) {
        JsonNode factor = CheckedJson.parse(scaler, "fetch it again").path("scaling_factor");
        double value = factor.asDouble();
        if (factor.isNumber() && value > 0 && Double.isFinite(1 / value) && value < 1e30) {
          return value;
        }
      }
      throw new SaeFormatException(
          file,
          "normalize_activations",
          "expected_average_only_in needs the factor in activation_scaler.json, got none;"
              + " fold it with SAELens' fold_activation_norm_scaling_factor and save again");
    }

    private Map<String, String> metadata(boolean flat) {
      Map<String, String> result = new LinkedHashMap<>();
      if (flat) {
        for (String key : FLAT_METADATA) {
          put(result, key, json.path(key));
        }
        put(result, "hook_name", json.path(json.has("hook_name") ? "hook_name" : "hook_point"));
      } else {
        json.path("metadata").properties().forEach(e -> put(result, e.getKey(), e.getValue()));
      }
      return result;
    }

    private static void put(Map<String, String> into, String key, JsonNode value) {
      if (!value.isMissingNode() && !value.isNull()) {
        into.put(key, value.isTextual() ? value.asText() : value.toString());
      }
    }

    private String text(String key, String older) {
      return json.path(key).asText(json.path(older).asText(""));
    }

    private int size(String key) throws IOException {
      JsonNode node = json.path(key);
      if (!node.isInt() || node.asInt() < 1) {
        throw unsupported(
            key, "a whole number >= 1", node.isMissingNode() ? "nothing" : node.toString());
      }
      return node.asInt();
    }

    private void check(String key, String actual, String expected) throws IOException {
      if (!actual.equals(expected)) {
        throw unsupported(key, expected, actual);
      }
    }

    private SaeFormatException unsupported(String key, String expected, String actual) {
      return new SaeFormatException(
          file,
          key,
          Expected.message(expected, actual, "this library reads SAELens' topk SAEs only"));
    }
  }
}
