package io.faithfulsae.study;

import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.metrics.FirstTokens;
import io.faithfulsae.study.report.Palette;
import java.awt.Color;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.BitmapEncoder.BitmapFormat;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** The distributions of first tokens in a data set and in the model, each sorted. */
public final class FirstTokenPlot {
  private FirstTokenPlot() {}

  /** Writes the plot next to a file, with the extension {@code .png}, and returns its path. */
  public static Path write(FirstTokens first, Path beside) throws IOException {
    XYChart chart =
        new XYChartBuilder()
            .width(1000)
            .height(640)
            .title("First token after BOS")
            .xAxisTitle("rank")
            .yAxisTitle("probability")
            .build();
    chart.getStyler().setChartBackgroundColor(Color.WHITE);
    chart.getStyler().setLegendPosition(LegendPosition.InsideNE);
    chart.getStyler().setXAxisLogarithmic(true);
    chart.getStyler().setYAxisLogarithmic(true);
    chart.getStyler().setSeriesColors(Palette.colors());
    add(chart, "data set", first.sortedData());
    add(chart, "model", first.sortedModel());
    String name = beside.getFileName().toString().replaceFirst("\\.json$", "");
    Path file = beside.resolveSibling(name + ".png");
    ByteArrayOutputStream png = new ByteArrayOutputStream();
    BitmapEncoder.saveBitmap(chart, png, BitmapFormat.PNG);
    AtomicFile.write(file, channel -> channel.write(ByteBuffer.wrap(png.toByteArray())));
    return file;
  }

  private static void add(XYChart chart, String name, List<Double> falling) {
    chart
        .addSeries(
            name,
            IntStream.rangeClosed(1, falling.size()).asDoubleStream().toArray(),
            falling.stream().mapToDouble(Double::doubleValue).toArray())
        .setMarker(SeriesMarkers.CIRCLE);
  }
}
