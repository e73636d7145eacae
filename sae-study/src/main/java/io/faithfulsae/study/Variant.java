package io.faithfulsae.study;

/**
 * What tells the SAEs of one data set apart besides their seed.
 *
 * @param dSae latents
 * @param k active latents a token
 * @param preset whose trainer
 * @param lr peak learning rate
 * @param label the parts of it that have several values in the study, such as {@code k8-lr0.001};
 *     empty if there is one variant alone
 */
public record Variant(int dSae, int k, Recipe preset, double lr, String label) {

  /** Names an SAE among those of its data set. */
  String cell(long seed) {
    return label.isEmpty() ? String.valueOf(seed) : label + "-" + seed;
  }

  /** For a heading or a sentence: empty if there is one variant alone. */
  String suffix() {
    return label.isEmpty() ? "" : ", " + label;
  }
}
