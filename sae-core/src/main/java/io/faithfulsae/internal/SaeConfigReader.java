package io.faithfulsae.internal;

import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.Activation;
import io.faithfulsae.Activation.AbsTopK;
import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.Gated;
import io.faithfulsae.Activation.GroupMax;
import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Reads SAELens' {@code cfg.json}, of version 6 or the older flat one ({@code saes/*.py}). */
record SaeConfigReader(Path dir, Path file, JsonNode json, @Nullable String weightsChecksum) {
  private static final String REMEDY = "see docs/file-formats.md for what is read";
  private static final String SKIP_TRANSCODER = "skip_transcoder";
  private static final String TRANSCODER = "transcoder";

  /** A threshold that training has not estimated yet. */
  private static final String TOPK_THRESHOLD = "topk_threshold";

  private static final Set<String> RANKED = Set.of("topk", "abstopk", "batchtopk", "groupmax");
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

  SaeFile read() throws IOException {
    boolean flat = !versionSix();
    String architecture = architecture(flat);
    boolean skip = architecture.endsWith(SKIP_TRANSCODER);
    boolean transcoder = architecture.endsWith(TRANSCODER);
    String kind = kind(architecture, skip, transcoder);
    boolean rescaled =
        RANKED.contains(kind) && json.path("rescale_acts_by_decoder_norm").asBoolean(false);
    Map<String, String> metadata = metadata(flat);
    checkReshape(flat, metadata);
    double scale = 1;
    Normalization normalization = Normalization.NONE;
    String name = normalizationName();
    if (transcoder && !name.equals("none")) {
      // SAELens normalizes what goes in and leaves what comes out as it is
      throw unsupported("normalize_activations", "none for a transcoder", name);
    }
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
    int dIn = size("d_in");
    SaeConfig config =
        PeerConfig.sae(
            file,
            dIn,
            transcoder && json.has("d_out") ? size("d_out") : dIn,
            size("d_sae"),
            activation(kind, metadata, rescaled ? scale : 1),
            json.path("apply_b_dec_to_input").asBoolean(!transcoder),
            normalization,
            skip);
    return new SaeFile(
        config,
        metadata,
        SaeFolder.CONFIG_FILE,
        dir.resolve(SaeFolder.WEIGHTS_FILE),
        path -> TensorFile.safetensors(path).mapped("log_threshold", "threshold", Math::exp),
        names(config),
        new SaeFile.Folding(rescaled, scale, 1),
        weightsChecksum);
  }

  private static SaeFile.Names names(SaeConfig config) {
    SaeFile.Names names =
        SaeFile.Names.of("W_enc", false, "W_dec", true, "b_enc", "b_dec")
            .with(Tensor.THRESHOLD, "threshold")
            .with(Tensor.R_MAG, "r_mag")
            .with(Tensor.B_MAG, "b_mag")
            .with(Tensor.W_SKIP, "W_skip");
    if (config.activation() instanceof Gated) {
      return names.with(Tensor.B_ENC, "b_gate");
    }
    return config.activation() instanceof BatchTopK
        ? names.ignoring(Set.of(TOPK_THRESHOLD, "threshold"))
        : names;
  }

  private boolean versionSix() {
    String version =
        json.path("sae_lens_version")
            .asText(json.path("metadata").path("sae_lens_version").asText("0"));
    String major = version.split("[^0-9]", 2)[0];
    return major.matches("[0-9]{1,9}") && Integer.parseInt(major) >= 6;
  }

  private String architecture(boolean flat) throws IOException {
    String architecture = json.path("architecture").asText("standard");
    if (!flat) {
      return architecture;
    }
    String function = text("activation_fn_str", "activation_fn");
    if (function.equals("topk") && json.path("activation_fn_kwargs").path("k").isInt()) {
      return "topk";
    }
    if (!function.isEmpty() && !function.equals("relu") && !function.equals("topk")) {
      throw other("activation_fn", "relu or topk", PickleText.printable(function));
    }
    return architecture;
  }

  /** The architecture without what makes it a transcoder. */
  private String kind(String architecture, boolean skip, boolean transcoder) throws IOException {
    int suffix = skip ? SKIP_TRANSCODER.length() : transcoder ? TRANSCODER.length() : 0;
    String kind = architecture.substring(0, architecture.length() - suffix);
    if (suffix > 0) {
      kind = kind.isEmpty() ? "standard" : kind.substring(0, kind.length() - 1);
    }
    kind = kind.equals("matryoshka_batchtopk") ? "batchtopk" : kind;
    if (!RANKED.contains(kind) && !Set.of("standard", "jumprelu", "gated").contains(kind)) {
      throw other(
          "architecture",
          "standard, topk, abstopk, batchtopk, matryoshka_batchtopk, jumprelu, gated or a"
              + " transcoder",
          PickleText.printable(architecture));
    }
    return kind;
  }

  private Activation activation(String kind, Map<String, String> metadata, double scale)
      throws IOException {
    return switch (kind) {
      case "topk" -> new TopK(k());
      case "abstopk" -> new AbsTopK(k());
      case "groupmax" -> new GroupMax(k());
      case "batchtopk" -> batchTopK(scale);
      case "gated" -> new Gated();
      case "jumprelu" -> jumpRelu(metadata);
      default -> new Relu();
    };
  }

  private int k() throws IOException {
    JsonNode older = json.path("activation_fn_kwargs").path("k");
    return older.isInt() && !json.has("k") ? older.asInt() : size("k");
  }

  /** A checkpoint of training: by its threshold, once there is one; in units of scaled latents. */
  private Activation batchTopK(double scale) throws IOException {
    JsonNode k = json.path("k"); // a number of latents on average, so it need not be whole
    Float threshold = first(TOPK_THRESHOLD);
    boolean learned = threshold != null && threshold > 0;
    if (!k.isNumber() || !(k.asDouble() >= 1) || (!learned && k.asDouble() != k.asInt())) {
      throw unsupported(
          "k",
          "a whole number >= 1, or any >= 1 with a " + TOPK_THRESHOLD,
          k.isMissingNode() ? "nothing" : PickleText.printable(k.asText()));
    }
    return new BatchTopK(
        (int) Math.round(k.asDouble()),
        learned && threshold != null ? (float) (threshold / scale) : null);
  }

  /** What this library saved of a BatchTopK, as SAELens does: one threshold for all latents. */
  private Activation jumpRelu(Map<String, String> metadata) throws IOException {
    String k = metadata.remove(SaeConfigFile.BATCH_TOP_K);
    Float threshold = first("threshold");
    if (k != null && k.matches("[1-9]\\d{0,8}") && threshold != null && threshold >= 0) {
      return new BatchTopK(Integer.parseInt(k), threshold);
    }
    return new JumpRelu();
  }

  /** The only value of a tensor, or of all its elements; null if there is none. */
  private @Nullable Float first(String name) throws IOException {
    try (TensorFile tensors = TensorFile.safetensors(dir.resolve(SaeFolder.WEIGHTS_FILE))) {
      StoredTensor tensor = tensors.tensors().get(name);
      if (tensor == null || tensor.elements() < 1 || tensor.elements() > Integer.MAX_VALUE) {
        return null;
      }
      FloatBuffer values = FloatBuffer.allocate((int) tensor.elements());
      tensor.readVector(0, values);
      for (int i = 1; i < values.limit(); i++) {
        if (values.get(i) != values.get(0)) {
          return null;
        }
      }
      return values.get(0);
    }
  }

  /** Rows of hook_z are heads times d_head values, whether or not SAELens reshapes them. */
  private void checkReshape(boolean flat, Map<String, String> metadata) throws IOException {
    String hook = metadata.getOrDefault("hook_name", "");
    String otherwise = flat && hook.contains("hook_z") ? "hook_z" : "none";
    String reshape = json.path(SaeConfigFile.RESHAPE).asText(otherwise);
    if (reshape.equals("hook_z")) {
      metadata.put(SaeConfigFile.RESHAPE, reshape);
    } else if (!reshape.equals("none")) {
      throw unsupported(SaeConfigFile.RESHAPE, "none or hook_z", PickleText.printable(reshape));
    }
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
      JsonNode factor = PeerConfig.parse(scaler).path("scaling_factor");
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

  private SaeFormatException other(String key, String expected, String actual) {
    return new OtherArchitectureException(file, key, Expected.message(expected, actual, REMEDY));
  }

  private SaeFormatException unsupported(String key, String expected, String actual) {
    return new SaeFormatException(file, key, Expected.message(expected, actual, REMEDY));
  }
}
