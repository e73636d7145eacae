package io.faithfulsae.study.tasks;

import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.study.report.Palette;
import java.awt.Color;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.BitmapEncoder.BitmapFormat;
import org.knowm.xchart.CategoryChart;
import org.knowm.xchart.CategoryChartBuilder;
import org.knowm.xchart.style.Styler.LegendLayout;
import org.knowm.xchart.style.Styler.LegendPosition;

/** Accuracy by task: from activations, and from the latents of each data set's SAEs. */
public final class ProbingPlot {
  private static final int WIDTH = 1320;
  private static final int HEIGHT = 660;

  private ProbingPlot() {}

  /** Writes the plot as PNG. */
  public static void write(List<ProbingRun> runs, Path file) throws IOException {
    List<String> tasks = List.copyOf(runs.get(0).result().keySet());
    CategoryChart chart =
        new CategoryChartBuilder()
            .width(WIDTH)
            .height(HEIGHT)
            .title("Accuracy of linear probes on the test examples")
            .build();
    chart.getStyler().setChartBackgroundColor(Color.WHITE);
    chart.getStyler().setPlotGridVerticalLinesVisible(false);
    chart.getStyler().setLegendPosition(LegendPosition.OutsideS);
    chart.getStyler().setLegendLayout(LegendLayout.Horizontal);
    chart.getStyler().setSeriesColors(Palette.colors());
    chart.getStyler().setYAxisMin(0.0).setYAxisMax(1.0);
    chart.getStyler().setYAxisDecimalPattern("0.0");
    chart.addSeries("activations", tasks, values(runs.get(0), tasks, "baseline_acc"));
    for (int i = 0; i < runs.size(); i++) {
      String name = runs.get(i).run().dataset() == null ? "SAE " + (i + 1) : nameOf(runs, i);
      chart.addSeries(name, tasks, values(runs.get(i), tasks, "sae_acc"));
    }
    ByteArrayOutputStream png = new ByteArrayOutputStream();
    BitmapEncoder.saveBitmap(chart, png, BitmapFormat.PNG);
    AtomicFile.write(
        file,
        channel -> {
          ByteBuffer rest = ByteBuffer.wrap(png.toByteArray());
          while (rest.hasRemaining()) {
            channel.write(rest);
          }
        });
  }

  /** Series names must be distinct. */
  private static String nameOf(List<ProbingRun> runs, int i) {
    String name = "latents, " + runs.get(i).run().dataset();
    long alike =
        runs.stream()
            .filter(run -> String.valueOf(run.run().dataset()).equals(runs.get(i).run().dataset()))
            .count();
    return alike == 1
        ? name
        : name + ", " + runs.get(i).run().label() + ", d_sae = " + runs.get(i).run().dSae();
  }

  private static List<Double> values(ProbingRun run, List<String> tasks, String measure) {
    List<Double> values = new ArrayList<>();
    for (String task : tasks) {
      values.add(run.result().getOrDefault(task, Map.of()).getOrDefault(measure, 0.0));
    }
    return values;
  }
}
