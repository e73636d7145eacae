package io.faithfulsae.metrics.internal.probe;

import io.faithfulsae.Sae;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.metrics.ModelActivations.HookedModel;
import io.faithfulsae.metrics.ProbeTask;
import io.faithfulsae.metrics.ProbeTask.Example;
import io.faithfulsae.metrics.Probing;
import io.faithfulsae.metrics.Probing.Options;
import io.faithfulsae.metrics.Probing.Protocol;
import io.faithfulsae.metrics.Probing.Scores;
import io.faithfulsae.metrics.internal.Bca;
import io.faithfulsae.metrics.internal.Bootstrap;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.LongConsumer;
import java.util.function.ToDoubleFunction;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import org.apache.commons.math3.random.RandomGenerator;

/** Fits probes on pooled activations, latents and reconstructions. */
public final class Prober {
  // Random streams for shuffling the examples.
  private static final long TRAIN = 0;
  private static final long TEST = 1;

  private final ProbeTask task;
  private final Options options;
  private final int[] trainLabels;
  private final int[] testLabels;

  private Prober(ProbeTask task, Options options, List<Example> train, List<Example> test) {
    this.task = task;
    this.options = options;
    this.trainLabels = train.stream().mapToInt(Example::label).toArray();
    this.testLabels = test.stream().mapToInt(Example::label).toArray();
  }

  /**
   * Probes several SAEs; the model runs once for all, and the baseline is fitted once.
   *
   * @param onRead called with the number of examples that the model has processed so far
   */
  public static List<Probing> probe(
      List<Sae> saes, HookedModel on, ProbeTask task, Options options, LongConsumer onRead) {
    List<Example> train = chosen(task.train(), options, TRAIN);
    List<Example> test = chosen(task.test(), options, TEST);
    List<Example> all = new ArrayList<>(train);
    all.addAll(test);
    PooledTexts pooled = PooledTexts.of(saes, on, all, options, onRead);
    return new Prober(task, options, train, test)
        .results(saes, on.model().width(on.hook()), pooled);
  }

  /** The weight norms of the probe on the latents, for each SAE. */
  public static List<List<Double>> weights(
      List<Sae> saes, HookedModel on, ProbeTask task, Options options, LongConsumer onRead) {
    if (options.protocol() != Protocol.CLEAN) {
      throw new IllegalArgumentException(
          Expected.message(
              "protocol CLEAN, whose weights come from a converged fit",
              options.protocol(),
              "use Probing.Options.clean()"));
    }
    List<Example> train = chosen(task.train(), options, TRAIN);
    int[] labels = train.stream().mapToInt(Example::label).toArray();
    PooledTexts pooled = PooledTexts.of(saes, on, train, options, onRead);
    List<List<Double>> all = new ArrayList<>();
    for (int i = 0; i < saes.size(); i++) {
      LogisticProbe probe = new LogisticProbe(options.costs(), options.heldOutShare());
      double[] weights =
          probe.weights(pooled.latents().get(i), labels, saes.get(i).config().dSae());
      all.add(DoubleStream.of(weights).boxed().toList());
    }
    return all;
  }

  private static List<Example> chosen(List<Example> examples, Options options, long stream) {
    List<Example> shuffled = new ArrayList<>(examples);
    new Rng(Purpose.PROBE_EXAMPLES, options.seed(), stream).shuffle(shuffled);
    return shuffled.subList(0, Math.min(shuffled.size(), options.maxExamples()));
  }

  private List<Probing> results(List<Sae> saes, int dIn, PooledTexts pooled) {
    Scores baseline = scores(pooled.baseline(), dIn);
    List<Probing> results = new ArrayList<>();
    for (int i = 0; i < saes.size(); i++) {
      results.add(
          new Probing(
              task.name(),
              options,
              trainLabels.length,
              testLabels.length,
              counts(trainLabels),
              counts(testLabels),
              baseline,
              scores(pooled.latents().get(i), saes.get(i).config().dSae()),
              scores(pooled.reconstructions().get(i), saes.get(i).config().dOut())));
    }
    return results;
  }

  private List<Integer> counts(int[] labels) {
    int[] counts = new int[task.classes().size()];
    for (int label : labels) {
      counts[label]++;
    }
    return IntStream.of(counts).boxed().toList();
  }

  private Scores scores(List<FeatureRow> rows, int width) {
    List<FeatureRow> train = rows.subList(0, trainLabels.length);
    List<FeatureRow> test = rows.subList(trainLabels.length, rows.size());
    int classes = task.classes().size();
    Probe probe =
        options.protocol() == Protocol.CLEAN
            ? new LogisticProbe(options.costs(), options.heldOutShare())
            : new SoftmaxProbe(options.seed());
    Probe.Predictions predictions = probe.fit(train, trainLabels, test, width, classes);
    Confusion confusion = new Confusion(classes);
    for (int i = 0; i < testLabels.length; i++) {
      confusion.add(testLabels[i], predictions.predicted()[i]);
    }
    double[] accuracies = new double[options.resamples()];
    double[] f1s = new double[options.resamples()];
    RandomGenerator random = Bootstrap.random(Purpose.PROBE_SCORES, options.seed());
    for (int b = 0; b < accuracies.length; b++) {
      Confusion resampled = new Confusion(classes);
      for (int i = 0; i < testLabels.length; i++) {
        int drawn = random.nextInt(testLabels.length);
        resampled.add(testLabels[drawn], predictions.predicted()[drawn]);
      }
      accuracies[b] = resampled.accuracy();
      f1s[b] = resampled.macroF1();
    }
    BootstrapInterval accuracy =
        interval(confusion, predictions.predicted(), Confusion::accuracy, accuracies);
    BootstrapInterval f1 = interval(confusion, predictions.predicted(), Confusion::macroF1, f1s);
    double nonZeros = train.stream().mapToLong(FeatureRow::nonZeros).average().orElse(0);
    return new Scores(accuracy, f1, predictions.cost(), nonZeros);
  }

  private BootstrapInterval interval(
      Confusion confusion, int[] predicted, ToDoubleFunction<Confusion> score, double[] resampled) {
    Bca statistic =
        new Bca(
            score.applyAsDouble(confusion), resampled, acceleration(confusion, predicted, score));
    double[] ends = statistic.ends(options.level());
    return new BootstrapInterval(
        statistic.estimate(), ends[0], ends[1], options.level(), resampled.length);
  }

  /**
   * From jackknife scores; leaving out any example of one cell of the confusion matrix gives the
   * same score.
   */
  private double acceleration(
      Confusion confusion, int[] predicted, ToDoubleFunction<Confusion> score) {
    int n = testLabels.length;
    if (n < 2) {
      return 0;
    }
    int classes = task.classes().size();
    double[][] without = new double[classes][classes];
    for (double[] row : without) {
      Arrays.fill(row, Double.NaN);
    }
    double[] influences = new double[n];
    for (int i = 0; i < n; i++) {
      double[] row = without[testLabels[i]];
      if (Double.isNaN(row[predicted[i]])) {
        row[predicted[i]] = score.applyAsDouble(confusion.without(testLabels[i], predicted[i]));
      }
      influences[i] = -(n - 1) * row[predicted[i]];
    }
    double mean = Bootstrap.mean(influences);
    for (int i = 0; i < n; i++) {
      influences[i] -= mean;
    }
    return Bca.acceleration(influences);
  }
}
