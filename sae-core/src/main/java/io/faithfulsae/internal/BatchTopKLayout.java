package io.faithfulsae.internal;

import io.faithfulsae.SaeConfig.Normalization;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/**
 * Bart Bussmann's BatchTopK, which the FaithfulSAE authors train with: {@code sae.pt} and {@code
 * config.json} ({@code sae.py}, {@code logs.py}). {@code sae_type} says which SAE it is.
 */
final class BatchTopKLayout {
  static final String WEIGHTS_FILE = "sae.pt";

  private static final SaeFile.Names TENSORS =
      new SaeFile.Names("W_enc", false, "W_dec", true, "b_enc", "b_dec", Set.of());

  private BatchTopKLayout() {}

  static SaeFile read(Path dir) throws IOException {
    PeerConfig config = PeerConfig.read(dir.resolve("config.json"));
    String type = config.text("sae_type", "nothing");
    if (!type.equals("topk")) {
      throw config.otherArchitecture("BatchTopK's " + PickleText.printable(type) + " (sae_type)");
    }
    String activation = config.text("activation", "relu"); // of one branch, with what follows
    if (!activation.equals("relu") || config.is("tied_weights")) {
      throw config.otherArchitecture(
          "BatchTopK's topk with activation "
              + PickleText.printable(activation)
              + (config.is("tied_weights") ? " and tied_weights" : ""));
    }
    return new SaeFile(
        config.topK(
            config.size("act_size"),
            config.size("dict_size"),
            config.size("top_k"),
            config.is("input_unit_norm") ? Normalization.UNIT_NORM : Normalization.NONE),
        metadata(config),
        "config.json",
        dir.resolve(WEIGHTS_FILE),
        TensorFile::torch,
        TENSORS,
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
