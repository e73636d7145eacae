package io.faithfulsae.study;

import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.metrics.CrossEntropy.Losses;
import io.faithfulsae.metrics.Reconstruction.Block;
import io.faithfulsae.study.ModelResults.Evaluation;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Compares SAEs of two data sets on the common text: the difference of their means over seeds,
 * paired by blocks of the text, which are resampled together.
 */
final class CommonTextDifference {
  private final List<Evaluation> first;
  private final List<Evaluation> second;
  private final StudyConfig.Bootstrap settings;

  /**
   * Creates a comparison of two non-empty groups.
   *
   * @param first the seeds of one data set
   * @param second the seeds of the other
   */
  CommonTextDifference(
      List<Evaluation> first, List<Evaluation> second, StudyConfig.Bootstrap settings) {
    this.first = first;
    this.second = second;
    this.settings = settings;
  }

  /**
   * Of the CE difference, in nats: the model's own cross entropy is the same for both and cancels.
   */
  BootstrapInterval.Difference crossEntropy() {
    List<Losses> any = first.get(0).crossEntropy().blocks();
    double predicted = any.stream().mapToLong(Losses::predicted).sum();
    double[] blocks =
        IntStream.range(0, any.size())
            .mapToDouble(i -> replaced(first, i) - replaced(second, i))
            .map(sum -> sum * any.size() / predicted)
            .toArray();
    return difference(
        mean(first.stream().map(on -> on.crossEntropy().difference()).toList()),
        mean(second.stream().map(on -> on.crossEntropy().difference()).toList()),
        blocks);
  }

  /** Of the explained variance; the variance of the activations is the same for both. */
  BootstrapInterval.Difference explainedVariance() {
    List<Block> any = first.get(0).reconstruction().blocks();
    double variance = any.stream().mapToDouble(Block::variance).sum();
    double[] blocks =
        IntStream.range(0, any.size())
            .mapToDouble(i -> squaredError(second, i) - squaredError(first, i))
            .map(sum -> variance == 0 ? 0 : sum * any.size() / variance)
            .toArray();
    return difference(
        mean(first.stream().map(on -> on.reconstruction().explainedVariance()).toList()),
        mean(second.stream().map(on -> on.reconstruction().explainedVariance()).toList()),
        blocks);
  }

  private static double replaced(List<Evaluation> seeds, int block) {
    return mean(
        seeds.stream().map(on -> on.crossEntropy().blocks().get(block).replaced()).toList());
  }

  private static double squaredError(List<Evaluation> seeds, int block) {
    return mean(
        seeds.stream().map(on -> on.reconstruction().blocks().get(block).squaredError()).toList());
  }

  private static double mean(List<Double> values) {
    return values.stream().mapToDouble(Double::doubleValue).average().orElseThrow();
  }

  /** The mean of the blocks' differences, compared with zero: the paired bootstrap. */
  private BootstrapInterval.Difference difference(double ours, double theirs, double[] blocks) {
    BootstrapInterval.Difference paired =
        BootstrapInterval.Difference.ofMeans(
            blocks,
            new double[blocks.length],
            settings.resamples(),
            settings.level(),
            settings.seed());
    return new BootstrapInterval.Difference(
        ours, theirs, paired.difference(), blocks.length == 1 ? 1 : paired.pValue());
  }
}
