package io.faithfulsae.benchmarks;

import io.faithfulsae.io.Expected;
import io.faithfulsae.synthetic.Hierarchy;
import io.faithfulsae.synthetic.PerFeature;
import io.faithfulsae.synthetic.SyntheticFeatures;
import io.faithfulsae.synthetic.SyntheticFeatures.Superposition;
import java.util.Arrays;
import java.util.List;

/**
 * The activations whose features are known, and how much training they get.
 *
 * @param features true features
 * @param dIn width of a row
 * @param dSae latents
 * @param batch rows per step
 * @param steps steps
 * @param seeds runs of each trainer, with seeds 1, 2, …
 * @param heldOut rows that SAEs are measured on
 */
record QualitySize(int features, int dIn, int dSae, int batch, int steps, int seeds, int heldOut) {
  private static final long TRAINING_ROWS = 1;
  private static final long OTHER_ROWS = 2;

  /** Parses {@code FEATURESxD_INxD_SAExBATCHxSTEPSxSEEDSxHELD_OUT}. */
  static QualitySize parse(String text) {
    int[] n = Arrays.stream(text.split("x", -1)).mapToInt(Integer::parseInt).toArray();
    if (n.length != 7) {
      throw new IllegalArgumentException(
          Expected.message(
              "FEATURESxD_INxD_SAExBATCHxSTEPSxSEEDSxHELD_OUT",
              '"' + text + '"',
              "write it like 128x64x256x256x2500x3x20000"));
    }
    return new QualitySize(n[0], n[1], n[2], n[3], n[4], n[5], n[6]);
  }

  long rows() {
    return (long) batch * steps;
  }

  /** Steps without firing after which a latent is dead: the peers' defaults are for longer runs. */
  int deadAfterBatches() {
    return Math.max(1, steps / 10);
  }

  /** Widths of a Matryoshka SAE's levels. */
  List<Integer> prefixes() {
    return List.of(dSae / 4, dSae / 2, dSae);
  }

  /** The same levels as shares of all latents that each adds. */
  List<Double> fractions() {
    return List.of(0.25, 0.25, 0.5);
  }

  /** The rows that all SAEs are trained on, in this order. */
  Superposition trainingRows() {
    return recipe().source(rows(), TRAINING_ROWS);
  }

  /** Other rows with the same features. */
  Superposition heldOutRows() {
    return recipe().source(heldOut, OTHER_ROWS);
  }

  /**
   * Features of which some are ten times as common as others, half in trees of two levels, some
   * with exclusive siblings, and all correlated a little; a constant vector and noise on top.
   */
  private SyntheticFeatures recipe() {
    int roots = Math.max(1, features / 8);
    return SyntheticFeatures.builder(features, dIn)
        .firing(PerFeature.exponential(0.1, 0.01))
        .scale(PerFeature.constant(1))
        .deviation(PerFeature.constant(0.25))
        .correlated(8, 0.1)
        .hierarchy(new Hierarchy(roots, 3, 1, 0.5, true, false))
        .bias(1)
        .noise(0.02)
        .build();
  }
}
