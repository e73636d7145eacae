package io.faithfulsae.study;

import io.faithfulsae.study.Plots.Drawn;
import java.util.DoubleSummaryStatistics;
import java.util.List;
import java.util.stream.Collectors;
import org.knowm.xchart.XYChart;

/** The norms of activations by position, on a logarithmic axis where some are massive. */
final class NormsPlot {
  private NormsPlot() {}

  static Drawn draw(ModelResults results, Plots plots) {
    DoubleSummaryStatistics all =
        results.dataSets().stream()
            .flatMap(set -> set.norms().meanByPosition().stream())
            .collect(Collectors.summarizingDouble(Double::doubleValue));
    // XChart labels decades only.
    boolean wide = all.getMin() > 0 && all.getMax() >= 10 * all.getMin();
    XYChart chart =
        plots.chart("position in the sequence", "mean norm at the hook" + (wide ? " (log)" : ""));
    if (wide) {
      chart.getStyler().setYAxisLogarithmic(true);
    } else {
      chart.getStyler().setYAxisMin(0.0);
    }
    for (ModelResults.DataSet set : results.dataSets()) {
      List<Double> means = set.norms().meanByPosition();
      double[] xs = new double[means.size()];
      for (int i = 0; i < xs.length; i++) {
        xs[i] = i;
      }
      plots.style(
          chart.addSeries(
              set.name(), xs, means.stream().mapToDouble(Double::doubleValue).toArray()),
          set.name(),
          results.config().seeds().get(0));
    }
    return Plots.drawn(
        chart,
        "Norms by position",
        "Mean norm of the residual stream, unfiltered: massive activations at the first positions would show here.");
  }
}
