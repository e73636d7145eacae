package io.faithfulsae.internal;

import io.faithfulsae.Activation;
import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.Gated;
import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * dictionary_learning: {@code ae.pt} and {@code config.json}, or a checkpoint {@code
 * checkpoints/ae_STEP.pt} below them ({@code dictionary.py}, {@code trainers/*.py} of 0.1.0). Read
 * as its own {@code load_dictionary} does:
 *
 * <ul>
 *   <li>TopK does not use the threshold that its training estimates.
 *   <li>BatchTopK uses it; where it is -1, not yet estimated, k latents per row of the batch fire,
 *       as in training. (Its {@code encode} would then let all positive ones fire.)
 *   <li>{@code AutoEncoder} is normalized: the norms of the decoder go to the encoder.
 *   <li>JumpReLU and {@code AutoEncoderNew} do not subtract the decoder's bias from the input.
 * </ul>
 */
final class DictionaryLearningLayout {
  static final String WEIGHTS_FILE = "ae.pt";

  static final String CONFIG_FILE = "config.json";
  private static final SaeFile.Names LINEAR =
      SaeFile.Names.of("encoder.weight", true, "decoder.weight", false, "encoder.bias", "b_dec");
  private static final SaeFile.Names MATRICES =
      SaeFile.Names.of("W_enc", false, "W_dec", true, "b_enc", "b_dec");

  /** A class of dictionaries: its tensors, and whether it subtracts its decoder's bias. */
  private record DictClass(SaeFile.Names names, boolean subtracts) {}

  private static final Map<String, DictClass> CLASSES =
      Map.of(
          "AutoEncoderTopK",
          new DictClass(LINEAR.ignoring(Set.of("k", "threshold")), true),
          "BatchTopKSAE",
          new DictClass(LINEAR.ignoring(Set.of("k", "threshold")), true),
          "MatryoshkaBatchTopKSAE",
          new DictClass(MATRICES.ignoring(Set.of("k", "threshold", "group_sizes")), true),
          "AutoEncoder",
          new DictClass(LINEAR.with(Tensor.B_DEC, "bias"), true),
          "AutoEncoderNew",
          new DictClass(LINEAR.with(Tensor.B_DEC, "decoder.bias"), false),
          "GatedAutoEncoder",
          new DictClass(
              LINEAR
                  .with(Tensor.B_ENC, "gate_bias")
                  .with(Tensor.B_DEC, "decoder_bias")
                  .with(Tensor.R_MAG, "r_mag")
                  .with(Tensor.B_MAG, "mag_bias"),
              true),
          "JumpReluAutoEncoder",
          new DictClass(MATRICES.with(Tensor.THRESHOLD, "threshold"), false));

  private DictionaryLearningLayout() {}

  static SaeFile readFolderOrFile(Path path) throws IOException {
    return read(Files.isDirectory(path) ? path.resolve(WEIGHTS_FILE) : path);
  }

  /** Reads a file of weights; the configuration is beside it, or in the folder above. */
  private static SaeFile read(Path weights) throws IOException {
    PeerConfig all = PeerConfig.read(configuration(weights));
    PeerConfig trainer = all.in("trainer");
    String type = trainer.text("dict_class", "nothing");
    DictClass dictionary = CLASSES.get(type);
    if (dictionary == null) {
      throw all.otherArchitecture(
          "dictionary_learning's " + PickleText.printable(type) + " (trainer.dict_class)");
    }
    double biases;
    Activation activation;
    int d;
    int dSae;
    try (TorchFile file = TorchFile.open(weights)) {
      SaeFile.Stored encoder = Objects.requireNonNull(dictionary.names.tensors().get(Tensor.W_ENC));
      List<Long> shape = encoderShape(file, encoder.name());
      int latents = encoder.transposed() ? 1 : 0;
      d = size(trainer, "activation_dim", shape.get(1 - latents));
      dSae = size(trainer, "dict_size", shape.get(latents));
      biases = normFactor(weights, file.root());
      activation = activation(type, trainer, weights, file, biases);
    }
    return new SaeFile(
        trainer.sae(d, dSae, activation, dictionary.subtracts, Normalization.NONE),
        all.metadata(metadata(trainer, all.in("buffer"))),
        CONFIG_FILE,
        weights,
        path -> {
          TorchFile file = TorchFile.open(path);
          return file.tensors(dict(file.root()));
        },
        dictionary.names,
        new SaeFile.Folding(type.equals("AutoEncoder"), 1, biases),
        null);
  }

  private static List<Long> encoderShape(TorchFile file, String name) throws IOException {
    TensorFile tensors = file.tensors(dict(file.root()));
    List<Long> shape = tensors.tensor(name).shape();
    if (shape.size() != 2 || shape.stream().anyMatch(n -> n < 1 || n > Integer.MAX_VALUE)) {
      throw new SaeFormatException(
          tensors.path(), name, Expected.message("a matrix", "shape " + shape, "save it again"));
    }
    return shape;
  }

  /** Its own loader asks the configuration for the class and k only. */
  private static int size(PeerConfig trainer, String key, long stored) throws SaeFormatException {
    return trainer.json().has(key) ? trainer.size(key) : (int) stored;
  }

  private static Activation activation(
      String type, PeerConfig trainer, Path weights, TorchFile file, double biases)
      throws IOException {
    switch (type) {
      case "AutoEncoder", "AutoEncoderNew" -> {
        return new Relu();
      }
      case "GatedAutoEncoder" -> {
        return new Gated();
      }
      case "JumpReluAutoEncoder" -> {
        return new JumpRelu();
      }
      default -> {}
    }
    int k = trainer.size("k");
    Map<String, StoredTensor> tensors = file.tensors(dict(file.root())).tensors();
    Float stored = scalar(tensors.get("k"));
    if (stored != null && stored != k) { // absent: from before it was stored
      throw new SaeFormatException(
          weights,
          "k",
          Expected.message(k + " from " + CONFIG_FILE, stored, "the files do not belong together"));
    }
    if (type.equals("AutoEncoderTopK")) {
      return new TopK(k);
    }
    Float threshold = scalar(tensors.get("threshold"));
    if (threshold == null || threshold.isNaN()) {
      return new BatchTopK(k, null);
    }
    // -1: not estimated yet; its encode then lets every positive latent fire.
    return new BatchTopK(k, (float) Math.max(0, threshold * biases));
  }

  private static @Nullable Float scalar(@Nullable StoredTensor tensor) throws IOException {
    if (tensor == null || tensor.elements() != 1) {
      return null;
    }
    float[] value = new float[1];
    tensor.readVector(0, FloatBuffer.wrap(value));
    return value[0];
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

  private static Map<String, String> metadata(PeerConfig trainer, PeerConfig buffer) {
    Map<String, String> result = new LinkedHashMap<>();
    String model = trainer.text("lm_name", "");
    if (!model.isEmpty()) {
      result.put("model_name", model);
    }
    int layer = trainer.json().path("layer").asInt(-1);
    boolean transcoder = buffer.text("io", "out").equals("in_and_out");
    if (layer >= 0 && !transcoder && trainer.text("submodule_name", "").startsWith("resid_post")) {
      result.put("hook_name", "blocks." + layer + ".hook_resid_post");
    }
    return result;
  }
}
