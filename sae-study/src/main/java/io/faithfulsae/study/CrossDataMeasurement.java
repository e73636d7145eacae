package io.faithfulsae.study;

import io.faithfulsae.study.ModelResults.DataSet;
import io.faithfulsae.study.ModelResults.Evaluation;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/** Every SAE on the held-out text of every data set. */
final class CrossDataMeasurement implements Measurement {
  @Override
  public String name() {
    return "evaluate";
  }

  @Override
  public List<Unit> units(StudyContext on) {
    List<Unit> units = new ArrayList<>();
    for (StudyConfig.DataSet of : on.config().dataSets()) {
      for (StudyConfig.DataSet set : on.config().dataSets()) {
        units.add(
            Unit.own(
                on,
                name() + "-" + of.name() + "-on-" + set.name(),
                HeldOutEvaluation.cost(on),
                (found, step) -> {
                  Trained group = found.trained(of);
                  Texts text = found.text(set);
                  Map<String, Evaluation> bySae =
                      new HeldOutEvaluation(on, found.filter())
                          .of(group, List.of(text.key()), text.heldOut(), step);
                  bySae.forEach(
                      (sae, evaluation) ->
                          found
                              .evaluations
                              .computeIfAbsent(sae, any -> new LinkedHashMap<>())
                              .put(set.name(), evaluation));
                }));
      }
    }
    return units;
  }

  @Override
  public void section(ModelResults results, Html page) {
    page.subheading("Every SAE on every data set");
    matrix(
        results,
        page,
        "Explained variance (1 − FVU) on held-out text: higher is better.",
        e -> e.reconstruction().explainedVariance(),
        Format::percent,
        true);
    matrix(
        results,
        page,
        "CE difference in nats: lower is better.",
        e -> e.crossEntropy().difference(),
        Format::number,
        false);
    matrix(
        results,
        page,
        "Mean squared error over all elements: lower is better.",
        e -> e.reconstruction().l2(),
        Format::number,
        false);
    CostSection.write(results, page);
  }

  private static void matrix(
      ModelResults results,
      Html page,
      String caption,
      Function<Evaluation, Double> value,
      Function<Double, String> format,
      boolean higherIsBetter) {
    double[] all =
        results.saes().stream()
            .flatMap(sae -> sae.on().values().stream())
            .mapToDouble(value::apply)
            .sorted()
            .toArray();
    if (all.length == 0) {
      return;
    }
    double low = all[0];
    double high = all[all.length - 1];
    List<String> head = new ArrayList<>(List.of("SAE"));
    results.dataSets().forEach(set -> head.add("on " + set.name()));
    List<List<String>> rows = new ArrayList<>();
    for (TrainedSae sae : results.saes()) {
      List<String> row = new ArrayList<>(List.of(Html.escape(sae.name())));
      for (DataSet set : results.dataSets()) {
        Optional<Double> measured = sae.on(set.name()).map(value);
        if (measured.isEmpty()) {
          row.add(ModelSection.MISSING);
          continue;
        }
        double v = measured.get();
        double share = high > low ? (v - low) / (high - low) : 0.5;
        double strength = 0.06 + 0.30 * (higherIsBetter ? share : 1 - share);
        row.add(
            "<td class=\"heat\" style=\"background: rgba(0, 114, 178, %.2f)\">%s</td>"
                .formatted(strength, format.apply(v)));
      }
      rows.add(row);
    }
    page.table(caption, head, rows);
  }
}
