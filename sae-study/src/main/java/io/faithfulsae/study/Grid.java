package io.faithfulsae.study;

import io.faithfulsae.training.TrainingConfig;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.StringJoiner;

/**
 * The SAEs that a study trains on each data set: every combination of the listed sizes,
 * activations, k, presets and learning rates, with every seed.
 *
 * @param variants all combinations, in training order
 * @param cells each variant with each seed
 */
record Grid(List<Variant> variants, List<Cell> cells) {

  /**
   * One SAE.
   *
   * @param variant its size, k, preset and learning rate
   * @param seed of initial weights and shuffling
   * @param training everything that determines its training, including the seed
   */
  record Cell(Variant variant, long seed, TrainingConfig training) {}

  /**
   * The grid of a study's settings.
   *
   * @param dIn width of the activations, on which some presets depend
   */
  static Grid of(StudyConfig config, int dIn) {
    List<Variant> variants = new ArrayList<>();
    List<Cell> cells = new ArrayList<>();
    for (int dSae : config.sae().dSae()) {
      for (SaeFamily family : config.sae().families()) {
        for (int k : config.sae().ksOf(family)) {
          for (Recipe preset : config.training().preset()) {
            for (TrainingConfig one : config.training().configs(preset, family, dIn, dSae)) {
              String label = label(config, family, dSae, k, preset, one.lr());
              Variant variant = new Variant(family, dSae, k, preset, one.lr(), label);
              variants.add(variant);
              for (long seed : config.seeds()) {
                cells.add(new Cell(variant, seed, one.toBuilder().seed(seed).build()));
              }
            }
          }
        }
      }
    }
    return new Grid(variants, cells);
  }

  private static String label(
      StudyConfig config, SaeFamily family, int dSae, int k, Recipe preset, double lr) {
    StringJoiner label = new StringJoiner("-");
    if (!config.sae().families().equals(List.of(SaeFamily.TOPK))) {
      label.add(family.name().toLowerCase(Locale.ROOT));
    }
    if (config.sae().dSae().size() > 1) {
      label.add("d" + dSae);
    }
    if (config.sae().k().size() > 1 && family.hasK()) {
      label.add("k" + k);
    }
    if (config.training().preset().size() > 1) {
      label.add(preset.name().toLowerCase(Locale.ROOT));
    }
    if (config.training().lr().size() > 1) {
      label.add("lr" + number(lr));
    }
    return label.toString();
  }

  /** The shortest exact notation. */
  static String number(double value) {
    return BigDecimal.valueOf(value).stripTrailingZeros().toString();
  }
}
