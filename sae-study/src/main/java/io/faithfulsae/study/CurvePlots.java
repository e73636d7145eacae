package io.faithfulsae.study;

import io.faithfulsae.metrics.LatentStatistics.Criterion;
import io.faithfulsae.study.CurveResults.AtK;
import io.faithfulsae.study.CurveResults.Part;
import io.faithfulsae.study.CurveResults.Quality;
import io.faithfulsae.study.CurveResults.Subsets;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.Plots.Drawn;
import io.faithfulsae.study.report.Format;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** Curves over k and over the number of latents. */
final class CurvePlots {
  private final ModelResults results;
  private final Plots plots;

  CurvePlots(ModelResults results, Plots plots) {
    this.results = results;
    this.plots = plots;
  }

  /** Over k. */
  Map<String, Drawn> byK() {
    Map<String, Drawn> drawn = new LinkedHashMap<>();
    if (results.saes().stream().anyMatch(sae -> !sae.byK().isEmpty())) {
      drawn.put(
          "k-explained-variance",
          byK(
              "Explained variance with other k",
              "explained variance",
              at -> at.quality().explainedVariance()));
      drawn.put(
          "k-cross-entropy",
          byK(
              "CE difference with other k",
              "CE difference (nats)",
              at -> at.quality().ceDifference()));
      if (results.saes().stream()
          .flatMap(sae -> sae.byK().stream())
          .anyMatch(at -> at.fakeRatio() != null)) {
        drawn.put(
            "k-fake-features",
            byK("Fake features with other k", "Fake Feature Ratio", AtK::fakeRatio));
      }
    }
    return drawn;
  }

  /** Over the number of latents. */
  Map<String, Drawn> bySubset() {
    Map<String, Drawn> drawn = new LinkedHashMap<>();
    for (Criterion by : results.config().featureSubsets().rankBy()) {
      if (results.saes().stream()
          .flatMap(sae -> sae.subsets().stream())
          .anyMatch(subsets -> subsets.by() == by)) {
        String name = by.name().toLowerCase(Locale.ROOT).replace('_', ' ');
        String file = "subsets-" + name.replace(' ', '-');
        drawn.put(file, subsets(by, name, "explained variance", Quality::explainedVariance));
        drawn.put(
            file + "-cross-entropy",
            subsets(by, name, "CE difference (nats)", Quality::ceDifference));
      }
    }
    return drawn;
  }

  private Drawn byK(String title, String axis, Function<AtK, @Nullable Double> value) {
    XYChart chart = plots.chart("k at evaluation", axis);
    chart.setCustomXAxisTickLabelsFormatter(log -> label(Math.pow(2, log)));
    for (TrainedSae sae : results.saes()) {
      List<Double> logs = new ArrayList<>();
      List<Double> values = new ArrayList<>();
      for (AtK at : sae.byK()) {
        Double seen = value.apply(at);
        if (seen != null && Double.isFinite(seen)) {
          logs.add(log2(at.k()));
          values.add(seen);
        }
      }
      if (!logs.isEmpty()) {
        plots.style(chart.addSeries(sae.name(), logs, values), sae.dataSet(), sae.seed());
      }
    }
    List<Integer> own = results.config().sae().k();
    if (own.size() == 1) {
      double[] ys =
          chart.getSeriesMap().values().stream()
              .flatMapToDouble(series -> java.util.Arrays.stream(series.getYData()))
              .sorted()
              .toArray();
      XYSeries line =
          chart.addSeries(
              "k of training",
              new double[] {log2(own.get(0)), log2(own.get(0))},
              new double[] {Math.min(0, ys[0]), ys[ys.length - 1]});
      line.setMarker(SeriesMarkers.NONE).setLineColor(Plots.INK).setLineStyle(Plots.stroke(6, 6));
    }
    return Plots.drawn(
        chart,
        title,
        "Each SAE as it was trained, with more or fewer active latents per token at evaluation, on held-out text of its own data set (k on a logarithmic axis).");
  }

  private static String label(double k) {
    return k == Math.rint(k) ? String.valueOf((long) k) : Format.number(k);
  }

  private static double log2(int k) {
    return Math.log(k) / Math.log(2);
  }

  /** Means over a data set's SAEs, since best and worst curves for each SAE would be too many. */
  private Drawn subsets(Criterion by, String name, String axis, ToDoubleFunction<Quality> value) {
    XYChart chart = plots.chart("share of the ranked latents", axis);
    for (ModelResults.DataSet set : results.dataSets()) {
      List<Subsets> all =
          results.saes().stream()
              .filter(sae -> sae.dataSet().equals(set.name()))
              .flatMap(sae -> sae.subsets().stream())
              .filter(subsets -> subsets.by() == by)
              .toList();
      if (!all.isEmpty()) {
        long first = results.config().seeds().get(0);
        plots.style(
            line(chart, set.name() + ", best", all, Subsets::best, value), set.name(), first);
        XYSeries worst = line(chart, set.name() + ", worst", all, Subsets::worst, value);
        plots.style(worst, set.name(), first);
        worst.setLineStyle(Plots.stroke(10, 7));
      }
    }
    Map<Double, String> labels = new LinkedHashMap<>();
    List<Double> shares = results.config().featureSubsets().shares();
    for (int i = 0; i < shares.size(); i++) {
      labels.put((double) i, Format.percent(shares.get(i)));
    }
    Plots.categories(chart, labels);
    chart.getStyler().setXAxisTickMarkSpacingHint(Plots.WIDTH * 4 / 5 / labels.size());
    return Plots.drawn(
        chart,
        "The best and the worst latents alone, by " + name + ": " + axis,
        "Latents ranked on the training text; on held-out text all but the best (solid) or the worst (dashed) are set to zero. Means over a data set's SAEs.");
  }

  private XYSeries line(
      XYChart chart,
      String name,
      List<Subsets> all,
      Function<Subsets, List<Part>> end,
      ToDoubleFunction<Quality> value) {
    List<Double> shares = results.config().featureSubsets().shares();
    double[] xs = new double[shares.size()];
    double[] ys = new double[shares.size()];
    for (int i = 0; i < xs.length; i++) {
      int place = i;
      xs[i] = i; // evenly spaced, not to scale
      ys[i] =
          all.stream()
              .mapToDouble(subsets -> value.applyAsDouble(end.apply(subsets).get(place).quality()))
              .average()
              .orElseThrow();
    }
    return chart.addSeries(name, xs, ys);
  }
}
