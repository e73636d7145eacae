package io.faithfulsae.study.compare;

import io.faithfulsae.metrics.BootstrapInterval;
import java.util.List;
import java.util.Map;

/**
 * Data sets compared over models and tasks, each cell (a model and a task) counting once.
 *
 * @param format of this record as JSON
 * @param files that were read
 * @param dataSets that are compared
 * @param models that have all of these data sets
 * @param tasks that all of these models have
 * @param leftOut what else the files contain, and why it is not compared
 * @param measures that are compared
 */
public record Comparison(
    String format,
    List<String> files,
    List<String> dataSets,
    List<String> models,
    List<String> tasks,
    List<String> leftOut,
    List<Measure> measures) {
  /** The format of this version. */
  public static final String FORMAT = "faithfulsae-comparison/1";

  /**
   * One measure.
   *
   * @param name in the files, such as {@code sae_acc}
   * @param higherIsBetter whether the larger value wins
   * @param tasks that have it for every model
   * @param averages over all cells, by data set
   * @param byModel averages over a model's tasks, by model and data set
   * @param pairs all pairs of data sets
   */
  public record Measure(
      String name,
      boolean higherIsBetter,
      List<String> tasks,
      Map<String, Double> averages,
      Map<String, Map<String, Double>> byModel,
      List<Pair> pairs) {}

  /**
   * One data set compared with another.
   *
   * @param difference mean of first minus second over the cells, with its bootstrap interval (cells
   *     resampled, differences kept together)
   * @param wins cells in which the first is better
   * @param losses cells in which the second is better
   * @param bootstrapP two-sided, from the resampled mean differences; 1 for a single cell, which
   *     says nothing about the variance
   * @param bootstrapPHolm corrected for all comparisons of this record (Holm, 1979)
   * @param signP two-sided binomial test of wins against losses
   * @param signPHolm corrected likewise
   * @param cells number of cells
   */
  public record Pair(
      String first,
      String second,
      BootstrapInterval difference,
      int wins,
      int losses,
      double bootstrapP,
      double bootstrapPHolm,
      double signP,
      double signPHolm,
      int cells) {}
}
