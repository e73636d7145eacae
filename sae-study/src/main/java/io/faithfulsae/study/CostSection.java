package io.faithfulsae.study;

import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.metrics.CrossEntropy;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** The report's section on what the reconstructions cost the model, with intervals. */
final class CostSection {
  private CostSection() {}

  /** Writes the section if there are results for it. */
  static void write(ModelResults results, Html page) {
    List<List<String>> rows = new ArrayList<>();
    for (TrainedSae sae : results.saes()) {
      sae.own()
          .ifPresent(
              on -> {
                CrossEntropy cost = on.crossEntropy();
                rows.add(
                    List.of(
                        Html.escape(sae.name()),
                        Format.number(cost.clean()),
                        Format.number(cost.replaced()),
                        Format.number(cost.zeroAblated()),
                        Format.number(cost.meanAblated()),
                        cell(cost.differenceInterval(), Format::number),
                        cell(cost.lossRecoveredInterval(), Format::percent),
                        cell(cost.lossRecoveredOverMeanInterval(), Format::percent),
                        cell(cost.klDivergenceInterval(), Format::number),
                        cell(on.reconstruction().explainedVarianceInterval(), Format::percent)));
              });
    }
    if (rows.isEmpty()) {
      return;
    }
    page.subheading("Cost of the reconstruction to the model");
    page.table(
        "Cross entropy (nats) with the residual stream unchanged, replaced by the reconstruction, by zeros, and by its mean, on the held-out part of each SAE's own data set, with 95 % intervals over sequences.",
        List.of(
            "SAE",
            "Clean",
            "Replaced",
            "Zeros",
            "Mean",
            "CE difference",
            "Recovered over zeros",
            "Recovered over the mean",
            "KL",
            "Explained variance"),
        rows);
    page.note(
        "The mean is over the rows that are replaced; positions that the filter leaves out keep their own activations throughout. Recovery over zero ablation is flattering: zeros are far from anything the model ever sees.");
  }

  private static String cell(BootstrapInterval interval, Function<Double, String> format) {
    return format.apply(interval.estimate())
        + "<span class=\"range\">["
        + format.apply(interval.low())
        + ", "
        + format.apply(interval.high())
        + "]</span>";
  }
}
