package io.faithfulsae.study;

/**
 * What distinguishes the SAEs of one data set besides their seed.
 *
 * @param family its activation
 * @param dSae latents
 * @param k active latents per token; 0 if the activation has none
 * @param preset whose recipe is used
 * @param lr peak learning rate
 * @param label the settings that have several values in the study, such as {@code k8-lr0.001};
 *     empty if there is only one variant
 */
public record Variant(SaeFamily family, int dSae, int k, Recipe preset, double lr, String label) {

  /** Names an SAE among those of its data set. */
  String cell(long seed) {
    return label.isEmpty() ? String.valueOf(seed) : label + "-" + seed;
  }

  /** For a heading or a sentence: empty if there is only one variant. */
  String suffix() {
    return label.isEmpty() ? "" : ", " + label;
  }
}
