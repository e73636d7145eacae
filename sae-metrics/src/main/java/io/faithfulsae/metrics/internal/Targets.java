package io.faithfulsae.metrics.internal;

import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.ModelActivations.HookedModel;
import java.util.List;

/** Tells autoencoders, whose x̂ is compared with the x that they read, from transcoders. */
final class Targets {
  private Targets() {}

  /** Whether an SAE writes other activations than it reads. */
  static boolean isTranscoder(Sae sae) {
    SaeConfig config = sae.config();
    return config.dIn() != config.dOut() || config.skip() || sae.targetHook() != null;
  }

  /**
   * Checks that x̂ can be compared with x.
   *
   * @param metric what is to be measured
   * @param remedy what to do with a transcoder
   * @throws IllegalArgumentException if an SAE is a transcoder
   */
  static void requireAutoencoders(List<Sae> saes, String metric, String remedy) {
    for (Sae sae : saes) {
      if (isTranscoder(sae)) {
        throw new IllegalArgumentException(
            Expected.message(
                "an SAE that writes the activations it reads, for " + metric, name(sae), remedy));
      }
    }
  }

  /**
   * Checks that what SAEs write can replace a model's activations.
   *
   * @throws IllegalArgumentException if one writes another width
   */
  static void requireOutputs(List<Sae> saes, HookedModel on) {
    int width = on.model().width(on.hook());
    for (Sae sae : saes) {
      if (sae.config().dOut() != width) {
        throw new IllegalArgumentException(
            Expected.message(
                "an SAE with d_out = %d, the width of %s at %s"
                    .formatted(width, on.model().name(), on.hook()),
                sae.config().dOut(),
                "use the model that the SAE was trained on"));
      }
    }
  }

  private static String name(Sae sae) {
    SaeConfig config = sae.config();
    String writes = sae.targetHook();
    return "a transcoder (d_in = %d, d_out = %d%s), which needs the activations that it predicts"
        .formatted(config.dIn(), config.dOut(), writes == null ? "" : ", to " + writes);
  }
}
