package io.faithfulsae.study;

import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.util.ArrayList;
import java.util.List;

/**
 * The report's section on a sweep's metrics: against d_sae, k, learning rate, preset and share of
 * text.
 */
final class SweepSection {
  private SweepSection() {}

  /** Writes nothing if nothing was varied. */
  static void write(ModelResults results, Html page) {
    List<Sweep.Axis> axes = Sweep.axes(results);
    if (axes.isEmpty()) {
      return;
    }
    page.subheading("Sweep");
    List<String> head = new ArrayList<>(List.of("Trained on"));
    axes.forEach(axis -> head.add(axis.label()));
    for (Sweep.Metric metric : Sweep.Metric.values()) {
      head.add(metric.label());
    }
    List<List<String>> rows = new ArrayList<>();
    for (Sweep.Point point : Sweep.points(results)) {
      List<String> row = new ArrayList<>(List.of(Html.escape(point.dataSet())));
      for (Sweep.Axis axis : axes) {
        row.add(Html.escape(point.at(axis)));
      }
      for (Sweep.Metric metric : Sweep.Metric.values()) {
        row.add(metric.of(point).map(Format::number).orElse(ModelSection.MISSING));
      }
      rows.add(row);
    }
    page.table(
        "Means over the seeds; CE difference, explained variance and dead latents on the common text. The curves are among the plots.",
        head,
        rows);
  }
}
