package io.faithfulsae.internal;

import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/**
 * dictionary_learning: {@code ae.pt} and {@code config.json}, or a checkpoint {@code
 * checkpoints/ae_STEP.pt} below them ({@code trainers/top_k.py} of 0.1.0). The threshold that
 * TopK's training estimates is not used: its {@code encode} does not either, unless asked.
 */
final class DictionaryLearningLayout {
  static final String WEIGHTS_FILE = "ae.pt";

  private static final String CONFIG_FILE = "config.json";
  private static final SaeFile.Names TENSORS =
      new SaeFile.Names(
          "encoder.weight",
          true,
          "decoder.weight",
          false,
          "encoder.bias",
          "b_dec",
          Set.of("k", "threshold"));

  private DictionaryLearningLayout() {}

  static SaeFile readFolder(Path dir) throws IOException {
    return read(dir.resolve(WEIGHTS_FILE));
  }

  /** Reads a file of weights; the configuration is beside it, or in the folder above. */
  static SaeFile read(Path weights) throws IOException {
    PeerConfig all = PeerConfig.read(configuration(weights));
    PeerConfig trainer = all.in("trainer");
    String type = trainer.text("dict_class", "nothing");
    if (!type.equals("AutoEncoderTopK")) {
      throw all.otherArchitecture(
          "dictionary_learning's " + PickleText.printable(type) + " (trainer.dict_class)");
    }
    if (all.in("buffer").text("io", "out").equals("in_and_out")) {
      throw all.otherArchitecture("a transcoder of dictionary_learning (buffer.io)");
    }
    int k = trainer.size("k");
    double biases;
    try (TorchFile file = TorchFile.open(weights)) {
      checkK(weights, file, k);
      biases = normFactor(weights, file.root());
    }
    return new SaeFile(
        trainer.topK(
            trainer.size("activation_dim"), trainer.size("dict_size"), k, Normalization.NONE),
        metadata(trainer),
        CONFIG_FILE,
        weights,
        path -> {
          TorchFile file = TorchFile.open(path);
          return file.tensors(dict(file.root()));
        },
        TENSORS,
        new SaeFile.Folding(false, 1, biases),
        null);
  }

  private static Path configuration(Path weights) {
    Path beside = weights.resolveSibling(CONFIG_FILE);
    Path folder = weights.toAbsolutePath().getParent();
    if (folder == null || !folder.endsWith("checkpoints") || Files.exists(beside)) {
      return beside;
    }
    return folder.resolveSibling(CONFIG_FILE);
  }

  /** An interrupted run leaves its state, with the SAE inside. */
  private static Map<?, ?> dict(Map<?, ?> root) {
    return root.get("ae") instanceof Map<?, ?> inside ? inside : root;
  }

  /** The final SAE's biases are scaled to activations as they are; an interrupted run's are not. */
  private static double normFactor(Path weights, Map<?, ?> root) throws SaeFormatException {
    if (!(root.get("ae") instanceof Map) || !root.containsKey("norm_factor")) {
      return 1;
    }
    if (root.get("norm_factor") instanceof Double factor
        && factor > 0
        && Double.isFinite(1 / factor)
        && factor < 1e30) {
      return factor;
    }
    throw new SaeFormatException(
        weights,
        "norm_factor",
        Expected.message("a number > 0", "another value", "save the SAE again"));
  }

  private static void checkK(Path weights, TorchFile file, int k) throws IOException {
    StoredTensor stored = file.tensors(dict(file.root())).tensors().get("k");
    if (stored == null) {
      return; // from before it was stored
    }
    float[] value = new float[1];
    if (stored.elements() == 1) {
      stored.readVector(0, FloatBuffer.wrap(value));
    }
    if (value[0] != k) {
      throw new SaeFormatException(
          weights,
          "k",
          Expected.message(
              k + " from " + CONFIG_FILE, value[0], "the files do not belong together"));
    }
  }

  private static Map<String, String> metadata(PeerConfig trainer) {
    Map<String, String> result = new LinkedHashMap<>();
    String model = trainer.text("lm_name", "");
    if (!model.isEmpty()) {
      result.put("model_name", model);
    }
    int layer = trainer.json().path("layer").asInt(-1);
    if (layer >= 0 && trainer.text("submodule_name", "").startsWith("resid_post")) {
      result.put("hook_name", "blocks." + layer + ".hook_resid_post");
    }
    return result;
  }
}
