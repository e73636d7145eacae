package io.faithfulsae.internal;

import io.faithfulsae.Activation.TopK;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * OpenAI's sparse_autoencoder: one {@code .pt} file, which names its activation ({@code model.py},
 * {@code Autoencoder.from_state_dict}). As there, TopK means that rows are normalized.
 */
final class OpenAiLayout {
  /** Statistics of the training; and a tied decoder, which is the encoder's weights again. */
  private static final Set<String> OTHERS =
      Set.of(
          "stats_last_nonzero",
          "latents_activation_frequency",
          "latents_mean_square",
          "decoder.linear.weight");

  private OpenAiLayout() {}

  static boolean is(Map<?, ?> root) {
    return root.containsKey("pre_bias") && root.containsKey("latent_bias");
  }

  static SaeFile read(Path path) throws IOException {
    try (TorchFile file = TorchFile.open(path)) {
      Map<?, ?> root = file.root();
      String activation = root.get("activation") instanceof String name ? name : "ReLU";
      if (!activation.equals("TopK")) {
        throw PeerConfig.otherArchitecture(
            path, "OpenAI's " + PickleText.printable(activation) + " (activation)");
      }
      TensorFile tensors = file.tensors(root);
      List<Long> shape = tensors.tensor("encoder.weight").shape();
      if (shape.size() != 2 || shape.stream().anyMatch(n -> n < 1 || n > Integer.MAX_VALUE)) {
        throw new SaeFormatException(
            path,
            "encoder.weight",
            Expected.message("shape [n_latents, n_inputs]", shape, "fetch the file again"));
      }
      boolean tied = !tensors.tensors().containsKey("decoder.weight");
      SaeConfig config =
          PeerConfig.sae(
              path,
              shape.get(1).intValue(),
              shape.get(1).intValue(),
              shape.get(0).intValue(),
              new TopK(k(path, root)),
              true,
              Normalization.UNIT_NORM,
              false);
      return new SaeFile(
          config,
          Map.of(),
          "encoder.weight",
          path,
          TensorFile::torch,
          SaeFile.Names.of(
                  "encoder.weight",
                  true,
                  tied ? "encoder.weight" : "decoder.weight",
                  tied,
                  "latent_bias",
                  "pre_bias")
              .ignoring(OTHERS),
          SaeFile.Folding.NONE,
          null);
    }
  }

  private static int k(Path path, Map<?, ?> root) throws SaeFormatException {
    Map<?, ?> state = root.get("activation_state_dict") instanceof Map<?, ?> m ? m : Map.of();
    Object after = state.get("postact_fn");
    if (!"ReLU".equals(after)) {
      throw PeerConfig.otherArchitecture(
          path,
          "OpenAI's TopK with "
              + (after instanceof String name ? PickleText.printable(name) : "no ReLU")
              + " after it (postact_fn)");
    }
    if (state.get("k") instanceof Long k && k >= 1 && k <= Integer.MAX_VALUE) {
      return k.intValue();
    }
    throw new SaeFormatException(
        path,
        "activation_state_dict.k",
        Expected.message("a whole number >= 1", "another value", "fetch the file again"));
  }
}
