package io.faithfulsae.internal;

import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Gemma Scope: JumpReLU SAEs and transcoders in {@code params.npz}; Gemma Scope 2: in {@code
 * params.safetensors}, with a {@code config.json} or without, and an affine skip connection or
 * none. {@code b_dec} is not subtracted from the input ({@code loading/pretrained_sae_loaders.py}
 * of SAELens).
 */
final class GemmaScopeLayout {
  static final String NPZ = "params.npz";
  static final String SAFETENSORS = "params.safetensors";

  private static final String SKIP = "affine_skip_connection"; // [d_in, d_out]
  private static final SaeFile.Names TENSORS =
      SaeFile.Names.of("w_enc", false, "w_dec", true, "b_enc", "b_dec")
          .with(Tensor.THRESHOLD, "threshold")
          .with(Tensor.W_SKIP, SKIP, true);

  /** A repository's name in the path says the model and the site. */
  private static final Pattern REPOSITORY =
      Pattern.compile("gemma-scope-(2b|9b|27b)-(pt|it)-(res|mlp|att)\\b");

  private static final Pattern LAYER = Pattern.compile("(?:^|/)layer_(\\d{1,4})(?:/|_|$)");

  private GemmaScopeLayout() {}

  static SaeFile readNpz(Path dir) throws IOException {
    return read(dir, dir.resolve(NPZ), GemmaScopeLayout::openNpz);
  }

  static SaeFile readSafetensors(Path dir) throws IOException {
    Path file = dir.resolve("config.json");
    if (Files.isRegularFile(file)) {
      PeerConfig config = PeerConfig.read(file);
      String architecture = config.text("architecture", "jump_relu");
      if (!architecture.equals("jump_relu")) {
        throw config.otherArchitecture(
            "Gemma Scope's " + PickleText.printable(architecture) + " (architecture)");
      }
    }
    return read(dir, dir.resolve(SAFETENSORS), TensorFile::safetensors);
  }

  /** In some files the matrices' names begin with a capital. */
  private static TensorFile openNpz(Path path) throws IOException {
    TensorFile file = TensorFile.npz(path);
    for (String name : List.copyOf(file.tensors().keySet())) {
      if (name.startsWith("W_")) {
        file = file.mapped(name, name.toLowerCase(Locale.ROOT), x -> x);
      }
    }
    return file;
  }

  private static SaeFile read(Path dir, Path weights, SaeFile.Opener opener) throws IOException {
    try (TensorFile file = opener.open(weights)) {
      List<Long> encoder = matrix(file, "w_enc");
      List<Long> decoder = matrix(file, "w_dec");
      return new SaeFile(
          PeerConfig.sae(
              weights,
              encoder.get(0).intValue(),
              decoder.get(1).intValue(),
              encoder.get(1).intValue(),
              new JumpRelu(),
              false,
              Normalization.NONE,
              file.tensors().containsKey(SKIP)),
          metadata(dir),
          "w_enc",
          weights,
          opener,
          TENSORS,
          SaeFile.Folding.NONE,
          null);
    }
  }

  private static List<Long> matrix(TensorFile file, String name) throws IOException {
    List<Long> shape = file.tensor(name).shape();
    if (shape.size() != 2 || shape.stream().anyMatch(n -> n < 1 || n > Integer.MAX_VALUE)) {
      throw new SaeFormatException(
          file.path(),
          name,
          Expected.message(
              "a matrix",
              "shape " + shape + (shape.size() == 3 ? " (a cross-layer transcoder)" : ""),
              "load the SAE or transcoder of one layer"));
    }
    return shape;
  }

  private static Map<String, String> metadata(Path dir) {
    Map<String, String> result = new LinkedHashMap<>();
    String path = dir.toAbsolutePath().normalize().toString().replace('\\', '/');
    Matcher repository = REPOSITORY.matcher(path);
    Matcher layer = LAYER.matcher(path);
    if (repository.find() && layer.find()) {
      boolean tuned = repository.group(2).equals("it");
      result.put("model_name", "gemma-2-" + repository.group(1) + (tuned ? "-it" : ""));
      String site =
          switch (repository.group(3)) {
            case "mlp" -> "hook_mlp_out";
            case "att" -> "attn.hook_z";
            default -> "hook_resid_post";
          };
      result.put("hook_name", "blocks." + Integer.parseInt(layer.group(1)) + "." + site);
    }
    return result;
  }
}
