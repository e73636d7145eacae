package io.faithfulsae.benchmarks;

import io.faithfulsae.Activation;
import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.Gated;
import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.Latents;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.util.List;

/**
 * The kinds of SAE that are timed. All but {@code relu} have k active latents a row on average:
 * {@code jumprelu} and {@code gated} by the one threshold that leaves so many, and {@code
 * relu-sparse} by one bias, as after training. In {@code relu}, half the latents fire, as before
 * training.
 */
final class Families {
  /** All of them. */
  static final List<String> ALL =
      List.of("topk", "batchtopk", "matryoshka", "jumprelu", "relu", "relu-sparse", "gated");

  private Families() {}

  /** The activation, with a workload's k. */
  static Activation activation(String family, int k) {
    return switch (family) {
      case "topk" -> new TopK(k);
      case "batchtopk", "matryoshka" -> new BatchTopK(k, null);
      case "jumprelu" -> new JumpRelu();
      case "relu", "relu-sparse" -> new Relu();
      case "gated" -> new Gated();
      default ->
          throw new IllegalArgumentException(
              Expected.message("one of " + ALL, family, "name one of them"));
    };
  }

  /** Widths of a Matryoshka SAE's levels. */
  static List<Integer> levels(int dSae) {
    return List.of(dSae / 4, dSae / 2, dSae);
  }

  /**
   * A workload's SAE of a family, with the thresholds that make it sparse.
   *
   * @param subtract whether it subtracts b_dec, which is zero, from its input
   */
  static LoadedSae load(Workload workload, String family, boolean subtract) {
    LoadedSae loaded = new LoadedSae(workload, activation(family, workload.k()), subtract);
    switch (family) {
      case "jumprelu" -> loaded.fill(Tensor.THRESHOLD, justBelowKept(workload));
      case "gated", "relu-sparse" -> loaded.fill(Tensor.B_ENC, -justBelowKept(workload));
      default -> {}
    }
    return loaded;
  }

  /** A number that exactly the k · rows largest pre-activations of the batch exceed. */
  static float justBelowKept(Workload workload) {
    try (LoadedSae batch = new LoadedSae(workload, new BatchTopK(workload.k(), null), true);
        Latents chosen = batch.sae.encode(batch.x)) {
      float smallest = Float.MAX_VALUE;
      for (int at = 0; at < chosen.entries(); at++) {
        smallest = Math.min(smallest, chosen.values().get(at));
      }
      return Math.nextDown(smallest);
    }
  }
}
