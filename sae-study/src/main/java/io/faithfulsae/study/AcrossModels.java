package io.faithfulsae.study;

import io.faithfulsae.study.compare.Comparer;
import io.faithfulsae.study.compare.Comparison;
import io.faithfulsae.study.compare.ResultFile;
import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The table across all models of a study: data sets that most models have, by metric. */
final class AcrossModels {
  private AcrossModels() {}

  /** The comparison; null if there is only one model, or nothing that several have in common. */
  static @Nullable Comparison of(StudyResults results) {
    if (results.models().size() < 2) {
      return null;
    }
    StudyConfig.Bootstrap bootstrap = results.models().get(0).config().bootstrap();
    try {
      return Comparer.compare(
          List.of(),
          ResultFile.ofStudy(Json.tree(results)),
          new Comparer.Options(List.of(), List.of(), bootstrap.resamples(), bootstrap.seed()));
    } catch (IllegalArgumentException e) {
      System.getLogger(AcrossModels.class.getName())
          .log(System.Logger.Level.DEBUG, "no table across models", e);
      return null;
    }
  }

  static void write(StudyResults results, Html page) {
    Comparison comparison = of(results);
    if (comparison == null) {
      return;
    }
    page.markup("<h2 id=\"across-models\">Across models</h2>");
    page.note(
        "Means over the seeds; CE and explained variance on each model's common text. "
            + "Each model, setting and task counts once. p-values are from the paired bootstrap and the sign test, each corrected for all rows of the table of pairs (Holm).");
    List<String> head = new ArrayList<>(List.of("Metric", "Model"));
    head.addAll(comparison.dataSets());
    List<List<String>> rows = new ArrayList<>();
    List<List<String>> pairs = new ArrayList<>();
    for (Comparison.Measure measure : comparison.measures()) {
      measure
          .byModel()
          .forEach((model, values) -> rows.add(row(measure, model, values, comparison)));
      rows.add(row(measure, "average", measure.averages(), comparison));
      for (Comparison.Pair pair : measure.pairs()) {
        pairs.add(
            List.of(
                Html.escape(measure.name()),
                Html.escape(pair.first() + " − " + pair.second()),
                Format.number(pair.difference().estimate()),
                Format.range(pair.difference()),
                "%d of %d".formatted(pair.wins(), pair.cells()),
                Format.number(pair.bootstrapP()),
                Format.number(pair.bootstrapPHolm()),
                Format.number(pair.signP()),
                Format.number(pair.signPHolm())));
      }
    }
    page.table("By model and data set.", head, rows);
    page.table(
        "Data sets in pairs.",
        List.of(
            "Metric",
            "Pair",
            "Difference",
            "Interval",
            "Wins of the first",
            "p, bootstrap",
            "p, corrected",
            "p, sign test",
            "p, sign test, corrected"),
        pairs);
    if (!comparison.leftOut().isEmpty()) {
      page.note("Left out: " + String.join("; ", comparison.leftOut()) + ".");
    }
  }

  private static List<String> row(
      Comparison.Measure measure, String model, Map<String, Double> values, Comparison all) {
    List<String> row = new ArrayList<>(List.of(Html.escape(measure.name()), Html.escape(model)));
    all.dataSets().forEach(set -> row.add(Format.number(values.getOrDefault(set, Double.NaN))));
    return row;
  }
}
