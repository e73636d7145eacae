package io.faithfulsae.study;

import io.faithfulsae.study.ModelResults.DataSet;
import io.faithfulsae.study.ModelResults.Evaluation;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.Plots.Drawn;
import java.awt.Color;
import java.awt.Font;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.ToDoubleFunction;
import org.knowm.xchart.HeatMapChart;
import org.knowm.xchart.HeatMapChartBuilder;
import org.knowm.xchart.style.HeatMapStyler;

/**
 * The cross-data matrix as heat maps: one hue from light to dark, readable without color, with the
 * value in each cell.
 */
final class HeatMaps {
  private static final int ROW = 72;
  private static final int REST = 200;
  private static final Color LIGHT = new Color(0xF7FBFF);
  private static final Color DARK = new Color(0x6BAED6); // dark text is still legible on it

  private final ModelResults results;

  HeatMaps(ModelResults results) {
    this.results = results;
  }

  Map<String, Drawn> draw() {
    Map<String, Drawn> drawn = new LinkedHashMap<>();
    if (results.saes().stream().noneMatch(sae -> !sae.on().isEmpty())) {
      return drawn;
    }
    drawn.put(
        "matrix-explained-variance",
        new Drawn(
            "Explained variance, every SAE on every data set",
            "Each row is an SAE, each column a data set's held-out text; darker is better (higher).",
            chart(on -> on.reconstruction().explainedVariance(), true)));
    drawn.put(
        "matrix-cross-entropy",
        new Drawn(
            "CE difference, every SAE on every data set",
            "In nats; each row is an SAE, each column a data set's held-out text; darker is better (lower).",
            chart(on -> on.crossEntropy().difference(), false)));
    drawn.put(
        "matrix-l2",
        new Drawn(
            "Mean squared error, every SAE on every data set",
            "Each row is an SAE, each column a data set's held-out text; darker is better (lower).",
            chart(on -> on.reconstruction().l2(), false)));
    return drawn;
  }

  private HeatMapChart chart(ToDoubleFunction<Evaluation> value, boolean higherIsBetter) {
    List<String> columns = results.dataSets().stream().map(DataSet::name).toList();
    List<String> rows = new ArrayList<>();
    List<Number[]> fields = new ArrayList<>();
    double low = Double.POSITIVE_INFINITY;
    double high = Double.NEGATIVE_INFINITY;
    // XChart's first row is at the bottom.
    for (int r = results.saes().size() - 1; r >= 0; r--) {
      TrainedSae sae = results.saes().get(r);
      for (int c = 0; c < columns.size(); c++) {
        Optional<Evaluation> on = sae.on(columns.get(c));
        if (on.isPresent()) {
          double v = value.applyAsDouble(on.get());
          fields.add(new Number[] {c, rows.size(), v});
          low = Math.min(low, v);
          high = Math.max(high, v);
        }
      }
      rows.add(sae.name());
    }
    HeatMapChart chart =
        new HeatMapChartBuilder()
            .width(Plots.WIDTH)
            .height(REST + ROW * rows.size())
            .xAxisTitle("held-out text of")
            .yAxisTitle("")
            .build();
    chart.addSeries("value", columns, rows, fields);
    Font text = new Font(Font.SANS_SERIF, Font.PLAIN, 24);
    HeatMapStyler styler = chart.getStyler();
    styler
        .setRangeColors(higherIsBetter ? new Color[] {LIGHT, DARK} : new Color[] {DARK, LIGHT})
        .setMin(low)
        .setMax(high > low ? high : low + 1)
        .setShowValue(true)
        .setHeatMapValueDecimalPattern(high >= 100 ? "0" : high >= 0.01 ? "0.000" : "0.0E0")
        .setValueFont(text)
        .setValueFontColor(Plots.INK)
        .setDrawBorder(true);
    styler
        .setAxisTickLabelsFont(text)
        .setAxisTickLabelsColor(Plots.INK)
        .setAxisTitleFont(text)
        .setAxisTickMarksColor(Plots.GRID);
    styler.setPlotBorderVisible(false);
    styler
        .setChartTitleVisible(false)
        .setLegendVisible(false)
        .setChartBackgroundColor(Color.WHITE)
        .setPlotBackgroundColor(Color.WHITE);
    return chart;
  }
}
