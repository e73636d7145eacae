package io.faithfulsae.study;

import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.metrics.Histogram;
import io.faithfulsae.study.ModelResults.CurvePoint;
import io.faithfulsae.study.ModelResults.SeedPair;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Palette;
import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.BitmapEncoder.BitmapFormat;
import org.knowm.xchart.HeatMapChart;
import org.knowm.xchart.VectorGraphicsEncoder;
import org.knowm.xchart.VectorGraphicsEncoder.VectorGraphicsFormat;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.internal.chartpart.Chart;
import org.knowm.xchart.style.Styler.LegendLayout;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.XYStyler;
import org.knowm.xchart.style.markers.Marker;
import org.knowm.xchart.style.markers.SeriesMarkers;

/**
 * The study's plots. Color means data set, dash or marker means seed; the colors are Okabe and
 * Ito's, safe for color blindness.
 */
final class Plots {
  private static final Color[] DATA_SETS = Palette.colors();
  private static final BasicStroke[] SEEDS = {
    stroke(), stroke(10, 7), stroke(3, 5), stroke(14, 5, 3, 5)
  };
  private static final Marker[] MARKERS = {
    SeriesMarkers.CIRCLE, SeriesMarkers.SQUARE, SeriesMarkers.TRIANGLE_UP, SeriesMarkers.DIAMOND
  };
  static final Color INK = new Color(0x24292F);
  static final Color GRID = new Color(0xE4E7EB);

  /** More names than this are stacked vertically, with this many pixels per line. */
  private static final int MOST_IN_A_LINE = 4;

  private static final int LINE = 41;
  static final int WIDTH = 1320;
  private static final int HEIGHT = 800;

  /**
   * One plot.
   *
   * @param title what the plot shows
   * @param caption how to read it
   * @param png its file
   */
  record Plot(String title, String caption, Path png, boolean alsoTable) {}

  record Drawn(String title, String caption, Chart<?, ?> chart) {}

  private final ModelResults results;
  private final List<String> dataSets;
  private final List<Long> seeds;

  private Plots(ModelResults results) {
    this.results = results;
    this.dataSets = results.dataSets().stream().map(ModelResults.DataSet::name).toList();
    this.seeds = results.config().seeds();
  }

  /**
   * Draws the plots that there are results for and writes each as NAME.png and NAME.svg; the map's
   * keys are the names.
   */
  static Map<String, Plot> write(ModelResults results, Path folder) throws IOException {
    Plots plots = new Plots(results);
    Map<String, Drawn> all = new LinkedHashMap<>();
    if (results.saes().isEmpty()) {
      return Map.of();
    }
    all.put("loss", plots.loss());
    if (results.saes().stream().anyMatch(sae -> sae.fake() != null)) {
      all.put("fake-features", plots.fakeFeatures());
    }
    if (!results.seedPairs().isEmpty()) {
      all.put("shared-features", plots.sharedFeatures());
    }
    if (results.saes().stream().anyMatch(sae -> sae.own().isPresent())) {
      all.put("density", plots.density());
      all.put("cross-entropy", plots.crossEntropy());
    }
    all.putAll(new HeatMaps(results).draw());
    all.put("norms", NormsPlot.draw(results, plots));
    Measurements.OF_SAES.forEach(measurement -> all.putAll(measurement.plots(results, plots)));
    all.putAll(new SweepPlots(results, plots).draw());
    Map<String, Plot> written = new LinkedHashMap<>();
    for (Map.Entry<String, Drawn> entry : all.entrySet()) {
      Drawn drawn = entry.getValue();
      Path file = folder.resolve(entry.getKey() + ".png");
      ByteArrayOutputStream png = new ByteArrayOutputStream();
      BitmapEncoder.saveBitmap(drawn.chart(), png, BitmapFormat.PNG);
      write(file, png);
      ByteArrayOutputStream svg = new ByteArrayOutputStream();
      VectorGraphicsEncoder.saveVectorGraphic(drawn.chart(), svg, VectorGraphicsFormat.SVG);
      write(folder.resolve(entry.getKey() + ".svg"), svg);
      written.put(
          entry.getKey(),
          new Plot(drawn.title(), drawn.caption(), file, drawn.chart() instanceof HeatMapChart));
    }
    return written;
  }

  private static void write(Path file, ByteArrayOutputStream content) throws IOException {
    AtomicFile.write(
        file,
        channel -> {
          ByteBuffer rest = ByteBuffer.wrap(content.toByteArray());
          while (rest.hasRemaining()) {
            channel.write(rest);
          }
        });
  }

  private Drawn loss() {
    XYChart chart = chart("training step", "FVU of the training batch");
    chart.getStyler().setYAxisMin(0.0);
    for (TrainedSae sae : results.saes()) {
      List<CurvePoint> curve = sae.curve();
      XYSeries line =
          chart.addSeries(
              sae.name(),
              curve.stream().mapToDouble(CurvePoint::step).toArray(),
              curve.stream().mapToDouble(CurvePoint::fvu).toArray());
      style(line, sae.dataSet(), sae.seed());
    }
    return drawn(
        chart,
        "Training",
        "Fraction of variance unexplained in each training batch; lower is better.");
  }

  private Drawn fakeFeatures() {
    XYChart chart = fakeIntervals();
    return drawn(
        chart,
        "Fake features",
        "Share of latents that fire on more than %s of uniformly random tokens, with %s intervals over latents and noise sequences."
            .formatted(
                Format.percent(results.config().fakeFeatures().frequency()),
                Format.percent(results.config().bootstrap().level())));
  }

  private Drawn sharedFeatures() {
    XYChart chart = chart("cosine of matched decoder directions", "share of latents");
    for (SeedPair pair : results.seedPairs()) {
      Histogram cosines = pair.decoder().matchedCosines();
      XYSeries line = histogram(chart, seedPair(pair), cosines);
      style(line, pair.dataSet(), seeds.get(0));
    }
    double threshold = results.config().sharedFeatures().threshold();
    vertical(chart, "threshold " + threshold, threshold);
    chart.getStyler().setXAxisMin(-0.2).setXAxisMax(1.0);
    return drawn(
        chart,
        "Shared features",
        "Cosines of the one-to-one matching between two seeds; pairs to the right of the threshold count as shared.");
  }

  private String seedPair(SeedPair pair) {
    if (seeds.size() > 2) {
      return pair.first() + ", " + pair.second();
    }
    return pair.variant().isEmpty() ? pair.dataSet() : pair.dataSet() + ", " + pair.variant();
  }

  private Drawn density() {
    XYChart chart =
        chart("log10 of the share of tokens on which a latent fires", "share of latents");
    for (TrainedSae sae : results.saes()) {
      sae.own()
          .ifPresent(
              on ->
                  style(
                      histogram(chart, sae.name(), on.reconstruction().logDensity()),
                      sae.dataSet(),
                      sae.seed()));
    }
    return drawn(
        chart,
        "Density",
        "How often latents fire on held-out text of the SAE's own data set; latents that never fire are not shown.");
  }

  private Drawn crossEntropy() {
    XYChart chart = chart(null, "CE difference (nats)");
    Map<Double, String> labels = new LinkedHashMap<>();
    for (int s = 0; s < results.saes().size(); s++) {
      labels.put((double) s, results.saes().get(s).name());
    }
    for (String on : dataSets) {
      List<Double> xs = new ArrayList<>();
      List<Double> ys = new ArrayList<>();
      for (int s = 0; s < results.saes().size(); s++) {
        double x = s + 0.12 * (dataSets.indexOf(on) - (dataSets.size() - 1) / 2.0);
        results
            .saes()
            .get(s)
            .on(on)
            .ifPresent(
                measured -> {
                  xs.add(x);
                  ys.add(measured.crossEntropy().difference());
                });
      }
      if (xs.isEmpty()) {
        continue;
      }
      XYSeries points = chart.addSeries("on " + on, xs, ys);
      points.setXYSeriesRenderStyle(XYSeries.XYSeriesRenderStyle.Scatter);
      points.setMarker(MARKERS[dataSets.indexOf(on) % MARKERS.length]);
      points.setMarkerColor(colour(on));
    }
    // XChart allows less room than a marker takes when markers are side by side.
    chart.getStyler().setLegendLayout(LegendLayout.Vertical);
    categories(chart, labels);
    return drawn(
        chart,
        "Cross entropy",
        "What replacing the residual stream by the SAE's reconstruction costs the model, on held-out text of each data set.");
  }

  private XYChart fakeIntervals() {
    XYChart chart = chart(null, "Fake Feature Ratio");
    Map<Double, String> labels = new LinkedHashMap<>();
    double top = 0;
    for (int s = 0; s < results.saes().size(); s++) {
      TrainedSae sae = results.saes().get(s);
      ModelResults.Fake fake = sae.fake();
      if (fake == null) {
        continue;
      }
      BootstrapInterval interval = fake.interval();
      double x = s;
      top = Math.max(top, interval.high());
      labels.put(x, sae.name());
      XYSeries whisker =
          chart.addSeries(
              sae.name() + " interval",
              new double[] {x, x},
              new double[] {interval.low(), interval.high()});
      whisker
          .setMarker(SeriesMarkers.NONE)
          .setLineColor(colour(sae.dataSet()))
          .setLineStyle(new BasicStroke(4f));
      whisker.setShowInLegend(false);
      XYSeries point =
          chart.addSeries(sae.name(), new double[] {x}, new double[] {interval.estimate()});
      point.setXYSeriesRenderStyle(XYSeries.XYSeriesRenderStyle.Scatter);
      point
          .setMarker(MARKERS[seeds.indexOf(sae.seed()) % MARKERS.length])
          .setMarkerColor(colour(sae.dataSet()));
    }
    chart.getStyler().setYAxisMin(0.0).setYAxisMax(top > 0 ? top * 1.15 : 1.0);
    categories(chart, labels);
    chart.getStyler().setLegendVisible(false);
    return chart;
  }

  static void categories(XYChart chart, Map<Double, String> labels) {
    // Labels must differ, or XChart searches for a better spacing forever; the hint makes it try
    // whole numbers first. Between categories and beside them, each position has a blank of its
    // own.
    Map<Double, String> blanks = new HashMap<>();
    chart.setCustomXAxisTickLabelsFormatter(
        x -> {
          String label = labels.get(x);
          return label != null ? label : blanks.computeIfAbsent(x, any -> blank(blanks.size()));
        });
    chart.getStyler().setXAxisTickMarkSpacingHint(WIDTH * 3 / 5 / labels.size());
    chart.getStyler().setXAxisMin(-0.5).setXAxisMax(labels.size() - 0.5);
  }

  /** Spaces of two kinds, for the digits of a binary number. */
  private static String blank(int number) {
    return Integer.toBinaryString(number).replace('0', ' ').replace('1', '\u00a0');
  }

  /** A histogram as an outline; bins hold shares of all values. */
  private static XYSeries histogram(XYChart chart, String name, Histogram histogram) {
    List<Long> counts = histogram.counts();
    double total = Math.max(1, counts.stream().mapToLong(Long::longValue).sum());
    double width = (histogram.high() - histogram.low()) / counts.size();
    double[] xs = new double[2 * counts.size()];
    double[] ys = new double[xs.length];
    for (int i = 0; i < counts.size(); i++) {
      xs[2 * i] = histogram.low() + i * width;
      xs[2 * i + 1] = histogram.low() + (i + 1) * width;
      ys[2 * i] = counts.get(i) / total;
      ys[2 * i + 1] = ys[2 * i];
    }
    return chart.addSeries(name, xs, ys);
  }

  private static void vertical(XYChart chart, String name, double x) {
    double top =
        chart.getSeriesMap().values().stream()
            .flatMapToDouble(series -> java.util.Arrays.stream(series.getYData()))
            .max()
            .orElse(1);
    XYSeries line = chart.addSeries(name, new double[] {x, x}, new double[] {0, top});
    line.setMarker(SeriesMarkers.NONE).setLineColor(INK).setLineStyle(stroke(6, 6));
  }

  void style(XYSeries line, String dataSet, long seed) {
    line.setMarker(SeriesMarkers.NONE)
        .setLineColor(colour(dataSet))
        .setLineStyle(SEEDS[seeds.indexOf(seed) % SEEDS.length]);
  }

  Color colour(String dataSet) {
    return DATA_SETS[dataSets.indexOf(dataSet) % DATA_SETS.length];
  }

  static BasicStroke stroke(float... dash) {
    return dash.length == 0
        ? new BasicStroke(3f, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND)
        : new BasicStroke(3f, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 10f, dash, 0f);
  }

  XYChart chart(@org.jspecify.annotations.Nullable String x, String y) {
    XYChart chart =
        new XYChartBuilder()
            .width(WIDTH)
            .height(HEIGHT + LINE * Math.max(0, results.saes().size() - MOST_IN_A_LINE))
            .xAxisTitle(x == null ? "" : x)
            .yAxisTitle(y)
            .build();
    Font text = new Font(Font.SANS_SERIF, Font.PLAIN, 24);
    XYStyler styler = chart.getStyler();
    styler
        .setChartTitleVisible(false)
        .setChartBackgroundColor(Color.WHITE)
        .setPlotBackgroundColor(Color.WHITE);
    styler.setLegendPosition(LegendPosition.OutsideS).setLegendLayout(LegendLayout.Horizontal);
    styler
        .setLegendBorderColor(Color.WHITE)
        .setLegendFont(text)
        .setLegendSeriesLineLength(56)
        .setLegendPadding(18);
    styler.setPlotBorderVisible(false).setMarkerSize(18).setDecimalPattern("#0.###");
    styler
        .setPlotGridLinesColor(GRID)
        .setPlotGridLinesStroke(new BasicStroke(1.5f))
        .setPlotGridVerticalLinesVisible(false);
    styler.setXAxisTickMarkSpacingHint(170).setYAxisTickMarkSpacingHint(110);
    styler
        .setAxisTickLabelsColor(INK)
        .setAxisTickLabelsFont(text)
        .setAxisTitleFont(text)
        .setAxisTickMarksColor(GRID);
    return chart;
  }

  static Drawn drawn(XYChart chart, String title, String caption) {
    long named = chart.getSeriesMap().values().stream().filter(XYSeries::isShowInLegend).count();
    if (named > MOST_IN_A_LINE) {
      chart.getStyler().setLegendLayout(LegendLayout.Vertical);
    }
    return new Drawn(title, caption, chart);
  }
}
