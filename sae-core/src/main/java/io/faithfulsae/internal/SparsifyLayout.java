package io.faithfulsae.internal;

import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.Activation;
import io.faithfulsae.Activation.AbsTopK;
import io.faithfulsae.Activation.GroupMax;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * EleutherAI's sparsify: a folder for each hook point, with {@code cfg.json} and {@code
 * sae.safetensors} ({@code sparse_coder.py} of 1.3.3). Options of the training alone ({@code
 * normalize_decoder}, {@code multi_topk}) change nothing that is read.
 */
final class SparsifyLayout {
  static final String WEIGHTS_FILE = "sae.safetensors";

  private static final SaeFile.Names TENSORS =
      SaeFile.Names.of("encoder.weight", true, "W_dec", true, "encoder.bias", "b_dec");
  private static final int DEFAULT = 32; // of expansion_factor and of k

  /** A module of a Hugging Face model: sparsify reads what it returns. */
  private static final Pattern BLOCK =
      Pattern.compile("(?:\\w+\\.){0,3}(?:layers|h)\\.(\\d{1,4})(\\.mlp)?");

  private SparsifyLayout() {}

  /** Whether a folder is one of sparsify's by its configuration. */
  static boolean isConfigured(Path dir) {
    Path file = dir.resolve(SaeFolder.CONFIG_FILE);
    if (!Files.isRegularFile(file)) {
      return false;
    }
    try {
      JsonNode json = PeerConfig.parse(file);
      return !json.has("d_sae") && (json.has("num_latents") || json.has("expansion_factor"));
    } catch (IOException e) {
      return false; // for the reader of SAELens' file to reject
    }
  }

  static SaeFile read(Path dir) throws IOException {
    PeerConfig config = PeerConfig.read(dir.resolve(SaeFolder.CONFIG_FILE));
    int d = config.size("d_in");
    int k = config.json().has("k") ? config.size("k") : DEFAULT;
    boolean skip = config.is("skip_connection");
    return new SaeFile(
        PeerConfig.sae(
            config.file(),
            d,
            d,
            latents(config, d),
            activation(config, k),
            !config.is("transcode"),
            Normalization.NONE,
            skip),
        config.metadata(metadata(dir)),
        SaeFolder.CONFIG_FILE,
        dir.resolve(WEIGHTS_FILE),
        TensorFile::safetensors,
        skip ? TENSORS.with(Tensor.W_SKIP, "W_skip") : TENSORS,
        SaeFile.Folding.NONE,
        null);
  }

  /** {@code signed} is of one old version: TopK by absolute value. */
  private static Activation activation(PeerConfig config, int k) throws SaeFormatException {
    String activation = config.text("activation", "topk");
    return switch (activation) {
      case "topk" -> config.is("signed") ? new AbsTopK(k) : new TopK(k);
      case "groupmax" -> new GroupMax(k);
      default ->
          throw config.otherArchitecture(
              "sparsify's " + PickleText.printable(activation) + " (activation)");
    };
  }

  private static int latents(PeerConfig config, int d) throws SaeFormatException {
    if (config.json().path("num_latents").asInt(0) != 0) {
      return config.size("num_latents");
    }
    long factor = config.json().has("expansion_factor") ? config.size("expansion_factor") : DEFAULT;
    if (factor * d > Integer.MAX_VALUE) {
      throw new SaeFormatException(
          config.file(),
          "expansion_factor",
          Expected.message("fewer than 2^31 latents", factor * d, "fetch the file again"));
    }
    return (int) (factor * d);
  }

  /** Only the folder's name says where the activations were read. */
  private static Map<String, String> metadata(Path dir) {
    Map<String, String> result = new LinkedHashMap<>();
    Path folder = dir.toAbsolutePath().normalize();
    if (String.valueOf(folder.getFileName()).matches("seed\\d+") && folder.getParent() != null) {
      folder = folder.getParent();
    }
    Matcher block = BLOCK.matcher(String.valueOf(folder.getFileName()));
    if (block.matches()) {
      String site = block.group(2) == null ? "hook_resid_post" : "hook_mlp_out";
      result.put("hook_name", "blocks." + Integer.parseInt(block.group(1)) + "." + site);
    }
    return result;
  }
}
