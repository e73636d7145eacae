package io.faithfulsae.study.compare;

import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.study.compare.Comparison.Measure;
import io.faithfulsae.study.report.Palette;
import java.awt.Color;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.BitmapEncoder.BitmapFormat;
import org.knowm.xchart.CategoryChart;
import org.knowm.xchart.CategoryChartBuilder;
import org.knowm.xchart.style.Styler.LegendLayout;
import org.knowm.xchart.style.Styler.LegendPosition;

/** A bar chart of a comparison: the first measure by model, one bar per data set. */
public final class ComparisonPlot {
  private static final int WIDTH = 1320;
  private static final int HEIGHT = 660;

  private ComparisonPlot() {}

  /** Writes the plot next to a file, with the extension {@code .png}, and returns its path. */
  public static Path write(Comparison comparison, Path beside) throws IOException {
    Measure measure = comparison.measures().get(0);
    List<String> models = new ArrayList<>(measure.byModel().keySet());
    models.add("average");
    CategoryChart chart =
        new CategoryChartBuilder()
            .width(WIDTH)
            .height(HEIGHT)
            .title(measure.name() + (measure.higherIsBetter() ? "" : " (lower is better)"))
            .build();
    chart.getStyler().setChartBackgroundColor(Color.WHITE);
    chart.getStyler().setPlotGridVerticalLinesVisible(false);
    chart.getStyler().setLegendPosition(LegendPosition.OutsideS);
    chart.getStyler().setLegendLayout(LegendLayout.Horizontal);
    chart.getStyler().setSeriesColors(Palette.colors());
    chart.getStyler().setYAxisMin(0.0);
    chart.getStyler().setYAxisDecimalPattern("0.00#");
    for (String dataSet : comparison.dataSets()) {
      List<Double> heights =
          new ArrayList<>(
              measure.byModel().values().stream().map(row -> row.get(dataSet)).toList());
      heights.add(measure.averages().get(dataSet));
      chart.addSeries(dataSet, models, heights);
    }
    String name = beside.getFileName().toString();
    Path file = beside.resolveSibling(name.replaceFirst("\\.json$", "") + ".png");
    ByteArrayOutputStream png = new ByteArrayOutputStream();
    BitmapEncoder.saveBitmap(chart, png, BitmapFormat.PNG);
    AtomicFile.write(file, channel -> channel.write(ByteBuffer.wrap(png.toByteArray())));
    return file;
  }
}
