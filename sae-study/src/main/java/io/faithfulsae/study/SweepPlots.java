package io.faithfulsae.study;

import io.faithfulsae.study.Plots.Drawn;
import io.faithfulsae.study.report.Palette;
import java.awt.Color;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** A sweep's metrics as curves against each varied setting. */
final class SweepPlots {
  private final ModelResults results;
  private final Plots plots;

  SweepPlots(ModelResults results, Plots plots) {
    this.results = results;
    this.plots = plots;
  }

  Map<String, Drawn> draw() {
    Map<String, Drawn> drawn = new LinkedHashMap<>();
    List<Sweep.Axis> axes = Sweep.axes(results);
    for (Sweep.Axis axis : axes) {
      for (Sweep.Metric metric : Sweep.Metric.values()) {
        draw(axis, metric, axes)
            .ifPresent(
                plot ->
                    drawn.put(
                        "sweep-%s-%s"
                            .formatted(
                                axis.name().toLowerCase(Locale.ROOT).replace('_', '-'),
                                metric.name().toLowerCase(Locale.ROOT)),
                        plot));
      }
    }
    return drawn;
  }

  private Optional<Drawn> draw(Sweep.Axis axis, Sweep.Metric metric, List<Sweep.Axis> axes) {
    Map<String, List<Sweep.Point>> lines = new LinkedHashMap<>();
    for (Sweep.Point point : Sweep.points(results)) {
      if (metric.of(point).isPresent()) {
        lines.computeIfAbsent(point.line(axis, axes), any -> new ArrayList<>()).add(point);
      }
    }
    if (lines.isEmpty()) {
      return Optional.empty();
    }
    XYChart chart = plots.chart(axis == Sweep.Axis.PRESET ? null : axis.label(), metric.label());
    Color[] colors = Palette.colors();
    int at = 0;
    for (Map.Entry<String, List<Sweep.Point>> line : lines.entrySet()) {
      List<Sweep.Point> points = new ArrayList<>(line.getValue());
      points.sort(Comparator.comparingDouble(axis::value));
      XYSeries series =
          chart.addSeries(
              line.getKey(),
              points.stream().mapToDouble(point -> position(axis, point)).toArray(),
              points.stream().mapToDouble(p -> metric.of(p).orElseThrow()).toArray());
      Color color = colors[at++ % colors.length];
      series.setMarkerColor(color).setMarker(SeriesMarkers.CIRCLE);
      series.setLineColor(color).setLineStyle(Plots.stroke());
    }
    if (axis == Sweep.Axis.PRESET) {
      Map<Double, String> names = new LinkedHashMap<>();
      Sweep.points(results).forEach(point -> names.put(axis.value(point), point.at(axis)));
      Plots.categories(chart, names);
    } else if (isLogarithmic(axis)) {
      chart.setCustomXAxisTickLabelsFormatter(
          log -> String.format(Locale.ROOT, "%.4g", Math.pow(2, log)));
    }
    return Optional.of(
        Plots.drawn(
            chart,
            metric.label() + " against " + axis.label(),
            "Mean over the seeds%s".formatted(isLogarithmic(axis) ? ", on a logarithmic axis" : "")
                + (metric == Sweep.Metric.FAKE || metric == Sweep.Metric.SHARED
                    ? "."
                    : ", on the common text.")));
  }

  private static boolean isLogarithmic(Sweep.Axis axis) {
    return axis != Sweep.Axis.PRESET && axis != Sweep.Axis.SHARE;
  }

  private static double position(Sweep.Axis axis, Sweep.Point point) {
    double value = axis.value(point);
    return isLogarithmic(axis) ? Math.log(value) / Math.log(2) : value;
  }
}
