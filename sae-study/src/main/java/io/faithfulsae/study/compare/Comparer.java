package io.faithfulsae.study.compare;

import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.study.compare.Comparison.Measure;
import io.faithfulsae.study.compare.Comparison.Pair;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.commons.math3.stat.inference.AlternativeHypothesis;
import org.apache.commons.math3.stat.inference.BinomialTest;

/**
 * Compares data sets on the cells that all of them have, so that none benefits from missing
 * measurements.
 */
public final class Comparer {
  private static final double LEVEL = 0.95;
  private static final List<String> USUAL =
      List.of(
          "sae_acc",
          "sae_f1",
          "avg_fake_feature_ratio",
          "sfr_matched",
          "ce_difference",
          "explained_variance");
  private static final List<String> LOWER_IS_BETTER =
      List.of("fake", "ce_difference", "kl", "dead");

  private final Options options;
  private final Map<String, Map<String, Run>> byModelAndDataSet = new LinkedHashMap<>();
  private final List<String> leftOut = new ArrayList<>();

  /**
   * What to compare and how.
   *
   * @param dataSets names; empty for those that more than half of the models have
   * @param measures names; empty for those of {@code sae_acc}, {@code sae_f1}, {@code
   *     avg_fake_feature_ratio}, {@code sfr_matched}, {@code ce_difference} and {@code
   *     explained_variance} that the files contain
   * @param resamples bootstrap resamples
   * @param seed of the bootstrap
   */
  public record Options(List<String> dataSets, List<String> measures, int resamples, long seed) {}

  private record Cell(String model, String task) {}

  private Comparer(Options options) {
    this.options = options;
  }

  /**
   * Compares the runs in some files.
   *
   * @throws IllegalArgumentException if there is nothing to compare; the message says what the
   *     files contain
   */
  public static Comparison compare(List<String> files, List<Run> runs, Options options) {
    Comparer comparer = new Comparer(options);
    runs.forEach(comparer::add);
    return comparer.compare(files);
  }

  private void add(Run run) {
    Map<String, Run> ofModel =
        byModelAndDataSet.computeIfAbsent(run.model(), m -> new LinkedHashMap<>());
    Run known = ofModel.get(run.dataSet());
    if (known == null) {
      ofModel.put(run.dataSet(), run);
      return;
    }
    Map<String, Map<String, Double>> merged = new LinkedHashMap<>();
    known.results().forEach((task, values) -> merged.put(task, new LinkedHashMap<>(values)));
    run.results()
        .forEach(
            (task, values) ->
                values.forEach(
                    (measure, value) -> {
                      Double before =
                          merged
                              .computeIfAbsent(task, t -> new LinkedHashMap<>())
                              .put(measure, value);
                      if (before != null && !before.equals(value)) {
                        throw new IllegalArgumentException(
                            Expected.message(
                                "one %s of %s on %s%s"
                                    .formatted(
                                        measure,
                                        run.model(),
                                        run.dataSet(),
                                        task.isEmpty() ? "" : " for " + task),
                                before + " and " + value,
                                "pass one of the runs alone"));
                      }
                    }));
    ofModel.put(run.dataSet(), new Run(run.model(), run.dataSet(), merged));
  }

  private Comparison compare(List<String> files) {
    List<String> dataSets = dataSets();
    List<String> models =
        byModelAndDataSet.keySet().stream().filter(model -> hasAll(model, dataSets)).toList();
    if (dataSets.size() < 2 || models.isEmpty()) {
      throw new IllegalArgumentException(
          Expected.message(
              "a model with at least two data sets",
              byModelAndDataSet.entrySet().stream()
                  .map(entry -> entry.getKey() + " " + entry.getValue().keySet())
                  .collect(Collectors.joining(", ")),
              "choose others with --datasets"));
    }
    List<String> tasks = tasks(models, dataSets);
    List<Measure> uncorrected = new ArrayList<>();
    measures(models, dataSets, tasks)
        .forEach((name, its) -> uncorrected.add(measure(name, dataSets, models, its)));
    return new Comparison(
        Comparison.FORMAT, files, dataSets, models, tasks, leftOut, corrected(uncorrected));
  }

  private List<String> dataSets() {
    Map<String, Integer> models = new LinkedHashMap<>();
    byModelAndDataSet
        .values()
        .forEach(ofModel -> ofModel.keySet().forEach(name -> models.merge(name, 1, Integer::sum)));
    if (!options.dataSets().isEmpty()) {
      for (String wanted : options.dataSets()) {
        if (!models.containsKey(wanted)) {
          throw new IllegalArgumentException(
              Expected.message("data sets among " + models.keySet(), wanted, "choose from these"));
        }
      }
      return options.dataSets();
    }
    List<String> common = new ArrayList<>();
    models.forEach(
        (name, count) -> {
          if (2 * count > byModelAndDataSet.size()) {
            common.add(name);
          } else {
            leftOut.add(
                "data set "
                    + name
                    + ": "
                    + count
                    + " of "
                    + byModelAndDataSet.size()
                    + " models have it");
          }
        });
    return common;
  }

  private boolean hasAll(String model, List<String> dataSets) {
    Set<String> missing = new LinkedHashSet<>(dataSets);
    missing.removeAll(byModelAndDataSet.getOrDefault(model, Map.of()).keySet());
    if (!missing.isEmpty()) {
      leftOut.add("model " + model + ": it has no run on " + String.join(", ", missing));
    }
    return missing.isEmpty();
  }

  private List<String> tasks(List<String> models, List<String> dataSets) {
    Set<String> all = new LinkedHashSet<>();
    for (String model : models) {
      dataSets.forEach(dataSet -> all.addAll(run(model, dataSet).results().keySet()));
    }
    List<String> common = new ArrayList<>();
    for (String task : all) {
      List<String> without =
          models.stream()
              .filter(
                  model ->
                      dataSets.stream()
                          .anyMatch(set -> !run(model, set).results().containsKey(task)))
              .toList();
      if (without.isEmpty()) {
        common.add(task);
      } else {
        leftOut.add("task " + task + ": it is missing for " + String.join(", ", without));
      }
    }
    return common;
  }

  /** Each measure with the tasks for which every run has it. */
  private Map<String, List<String>> measures(
      List<String> models, List<String> dataSets, List<String> tasks) {
    Map<String, List<String>> common = new LinkedHashMap<>();
    for (String task : tasks) {
      Set<String> names =
          new LinkedHashSet<>(values(models.get(0), dataSets.get(0), task).keySet());
      models.forEach(
          model -> dataSets.forEach(set -> names.retainAll(values(model, set, task).keySet())));
      names.forEach(name -> common.computeIfAbsent(name, n -> new ArrayList<>()).add(task));
    }
    List<String> wanted =
        options.measures().isEmpty()
            ? USUAL.stream().filter(common::containsKey).toList()
            : options.measures();
    if (wanted.isEmpty() || !common.keySet().containsAll(wanted)) {
      throw new IllegalArgumentException(
          Expected.message(
              "measures that every run has, among " + common.keySet(),
              wanted.isEmpty() ? USUAL : wanted,
              "choose others with --measures"));
    }
    Map<String, List<String>> chosen = new LinkedHashMap<>();
    wanted.forEach(name -> chosen.put(name, common.getOrDefault(name, List.of())));
    return chosen;
  }

  private Run run(String model, String dataSet) {
    Run run = byModelAndDataSet.getOrDefault(model, Map.of()).get(dataSet);
    if (run == null) {
      throw new IllegalStateException(model + " has no " + dataSet);
    }
    return run;
  }

  private Map<String, Double> values(String model, String dataSet, String task) {
    return run(model, dataSet).results().getOrDefault(task, Map.of());
  }

  private double value(Cell cell, String dataSet, String measure) {
    Double value = values(cell.model(), dataSet, cell.task()).get(measure);
    if (value == null) {
      throw new IllegalStateException(cell + " has no " + measure + " on " + dataSet);
    }
    return value;
  }

  private Measure measure(
      String name, List<String> dataSets, List<String> models, List<String> tasks) {
    List<Cell> cells = new ArrayList<>();
    models.forEach(model -> tasks.forEach(task -> cells.add(new Cell(model, task))));
    boolean higherIsBetter = LOWER_IS_BETTER.stream().noneMatch(name::contains);
    Map<String, Double> averages = new LinkedHashMap<>();
    dataSets.forEach(set -> averages.put(set, average(cells, set, name)));
    Map<String, Map<String, Double>> byModel = new LinkedHashMap<>();
    for (String model : models) {
      List<Cell> ofModel = tasks.stream().map(task -> new Cell(model, task)).toList();
      Map<String, Double> row = new LinkedHashMap<>();
      dataSets.forEach(set -> row.put(set, average(ofModel, set, name)));
      byModel.put(model, row);
    }
    List<Pair> pairs = new ArrayList<>();
    for (int i = 0; i < dataSets.size(); i++) {
      for (int j = i + 1; j < dataSets.size(); j++) {
        pairs.add(pair(dataSets.get(i), dataSets.get(j), name, higherIsBetter, cells));
      }
    }
    return new Measure(name, higherIsBetter, tasks, averages, byModel, pairs);
  }

  private double average(List<Cell> cells, String dataSet, String measure) {
    return cells.stream()
        .mapToDouble(cell -> value(cell, dataSet, measure))
        .average()
        .orElseThrow();
  }

  private Pair pair(
      String first, String second, String measure, boolean higherIsBetter, List<Cell> cells) {
    double[] differences =
        cells.stream()
            .mapToDouble(cell -> value(cell, first, measure) - value(cell, second, measure))
            .toArray();
    int above = 0;
    int below = 0;
    for (double difference : differences) {
      above += difference > 0 ? 1 : 0;
      below += difference < 0 ? 1 : 0;
    }
    int wins = higherIsBetter ? above : below;
    int losses = higherIsBetter ? below : above;
    // Compared with zeros, whose resamples are zeros: the paired bootstrap.
    BootstrapInterval.Difference paired =
        BootstrapInterval.Difference.ofMeans(
            differences,
            new double[differences.length],
            options.resamples(),
            LEVEL,
            options.seed());
    // Resampling a single cell always gives that cell, however large its variance.
    double bootstrapP = cells.size() == 1 ? 1 : paired.pValue();
    double signP =
        wins + losses == 0
            ? 1
            // Commons Math counts the middle twice if wins and losses are as even as possible.
            : Math.min(
                1,
                new BinomialTest()
                    .binomialTest(wins + losses, wins, 0.5, AlternativeHypothesis.TWO_SIDED));
    return new Pair(
        first,
        second,
        paired.difference(),
        wins,
        losses,
        bootstrapP,
        bootstrapP,
        signP,
        signP,
        cells.size());
  }

  /** Replaces the p-values by Holm's, over all pairs of all measures. */
  private static List<Measure> corrected(List<Measure> measures) {
    List<Pair> all = measures.stream().flatMap(measure -> measure.pairs().stream()).toList();
    double[] bootstrap = Holm.adjust(all.stream().mapToDouble(Pair::bootstrapP).toArray());
    double[] sign = Holm.adjust(all.stream().mapToDouble(Pair::signP).toArray());
    List<Measure> corrected = new ArrayList<>();
    int at = 0;
    for (Measure measure : measures) {
      List<Pair> pairs = new ArrayList<>();
      for (Pair pair : measure.pairs()) {
        pairs.add(
            new Pair(
                pair.first(),
                pair.second(),
                pair.difference(),
                pair.wins(),
                pair.losses(),
                pair.bootstrapP(),
                bootstrap[at],
                pair.signP(),
                sign[at],
                pair.cells()));
        at++;
      }
      corrected.add(
          new Measure(
              measure.name(),
              measure.higherIsBetter(),
              measure.tasks(),
              measure.averages(),
              measure.byModel(),
              pairs));
    }
    return corrected;
  }
}
