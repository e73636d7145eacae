package io.faithfulsae.internal;

import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Llama Scope, as Language-Model-SAEs saved it: {@code hyperparams.json} and {@code
 * checkpoints/final.safetensors}. Rows are scaled to an average norm of sqrt(d), and latents above
 * one threshold fire, which is given in units of unscaled rows ({@code
 * llama_scope_sae_huggingface_loader} of SAELens, whose reading this is).
 */
final class LlamaScopeLayout {
  static final String CONFIG_FILE = "hyperparams.json";

  private static final String WEIGHTS_FILE = "checkpoints/final.safetensors";
  private static final SaeFile.Names TENSORS =
      SaeFile.Names.of(
              "encoder.weight", true, "decoder.weight", false, "encoder.bias", "decoder.bias")
          .with(Tensor.THRESHOLD, "threshold");

  private LlamaScopeLayout() {}

  static SaeFile read(Path dir) throws IOException {
    PeerConfig config = PeerConfig.read(dir.resolve(CONFIG_FILE));
    int d = config.size("d_model");
    double scale = scale(config, d);
    int dSae = config.size("d_sae");
    double threshold = threshold(config, scale);
    Map<String, String> metadata = new LinkedHashMap<>();
    for (String key : new String[] {"model_name", "hook_point_in"}) {
      if (config.json().path(key).isTextual()) {
        metadata.put(key.equals("model_name") ? key : "hook_name", config.text(key, ""));
      }
    }
    return new SaeFile(
        config.sae(
            d,
            dSae,
            new JumpRelu(),
            config.is("apply_decoder_bias_to_pre_encoder"),
            Normalization.NONE),
        metadata,
        CONFIG_FILE,
        dir.resolve(WEIGHTS_FILE),
        path ->
            TensorFile.safetensors(path)
                .with(StoredTensor.constant("threshold", dSae, (float) threshold)),
        TENSORS,
        new SaeFile.Folding(false, scale, 1),
        null);
  }

  private static double threshold(PeerConfig config, double scale) throws IOException {
    String function = config.text("act_fn", "jumprelu");
    if (!function.equals("jumprelu") || config.is("use_glu_encoder")) {
      throw config.otherArchitecture(
          "Language-Model-SAEs' "
              + PickleText.printable(function)
              + (config.is("use_glu_encoder") ? " with use_glu_encoder" : " (act_fn)"));
    }
    double threshold = config.number("jump_relu_threshold") * scale;
    if (!(threshold >= 0 && threshold <= Float.MAX_VALUE)) {
      throw new SaeFormatException(
          config.file(),
          "jump_relu_threshold",
          Expected.message("a number >= 0", threshold, "fetch the file again"));
    }
    return threshold;
  }

  private static double scale(PeerConfig config, int d) throws IOException {
    String normalization = config.text("norm_activation", "dataset-wise");
    if (normalization.equals("inference")) { // folded into the weights
      return 1;
    }
    if (!normalization.equals("dataset-wise")) {
      throw config.otherArchitecture(
          "Language-Model-SAEs' norm_activation " + PickleText.printable(normalization));
    }
    PeerConfig norms = config.in("dataset_average_activation_norm");
    double in = norms.number("in");
    if (!(in > 0 && Double.isFinite(1 / in))) {
      throw new SaeFormatException(
          config.file(),
          "dataset_average_activation_norm.in",
          Expected.message("a number > 0", in, "fetch the file again"));
    }
    if (norms.json().has("out") && norms.number("out") != in) {
      throw config.otherArchitecture("a transcoder of Language-Model-SAEs (norms in and out)");
    }
    return Math.sqrt(d) / in;
  }
}
