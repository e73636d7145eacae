package io.faithfulsae.internal;

import io.faithfulsae.Activation;
import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Bart Bussmann's BatchTopK, which the FaithfulSAE authors train with: {@code sae.pt} and {@code
 * config.json} ({@code sae.py}, {@code logs.py}). {@code sae_type} says which SAE it is. BatchTopK
 * learns no threshold there: the latents of a row depend on its batch.
 */
final class BatchTopKLayout {
  static final String WEIGHTS_FILE = "sae.pt";

  private static final String LOG_THRESHOLD = "jumprelu.log_threshold";
  private static final SaeFile.Names TENSORS =
      SaeFile.Names.of("W_enc", false, "W_dec", true, "b_enc", "b_dec");

  private BatchTopKLayout() {}

  static SaeFile readFolderOrFile(Path path) throws IOException {
    return read(Files.isDirectory(path) ? path : path.resolveSibling(""));
  }

  private static SaeFile read(Path dir) throws IOException {
    PeerConfig config = PeerConfig.read(dir.resolve("config.json"));
    String type = config.text("sae_type", "nothing");
    Activation activation =
        switch (type) {
          case "topk" -> new TopK(config.size("top_k"));
          case "batchtopk" -> new BatchTopK(config.size("top_k"), null);
          case "vanilla" -> new Relu();
          case "jumprelu" -> new JumpRelu();
          default ->
              throw config.otherArchitecture(
                  "BatchTopK's " + PickleText.printable(type) + " (sae_type)");
        };
    String before = config.text("activation", "relu"); // of one branch, with what follows
    if (!before.equals("relu") || config.is("tied_weights")) {
      throw config.otherArchitecture(
          "BatchTopK's "
              + type
              + " with activation "
              + PickleText.printable(before)
              + (config.is("tied_weights") ? " and tied_weights" : ""));
    }
    boolean jump = activation instanceof JumpRelu;
    return new SaeFile(
        config.sae(
            config.size("act_size"),
            config.size("dict_size"),
            activation,
            !jump,
            config.is("input_unit_norm") ? Normalization.UNIT_NORM : Normalization.NONE),
        metadata(config),
        "config.json",
        dir.resolve(WEIGHTS_FILE),
        path -> TensorFile.torch(path).mapped(LOG_THRESHOLD, "threshold", Math::exp),
        jump ? TENSORS.with(Tensor.THRESHOLD, "threshold") : TENSORS,
        SaeFile.Folding.NONE,
        null);
  }

  private static Map<String, String> metadata(PeerConfig config) {
    Map<String, String> result = new LinkedHashMap<>();
    Map.of("model_name", "model_name", "hook_point", "hook_name", "dataset_path", "dataset_path")
        .forEach(
            (theirs, ours) -> {
              if (config.json().path(theirs).isTextual()) {
                result.put(ours, config.text(theirs, ""));
              }
            });
    return result;
  }
}
