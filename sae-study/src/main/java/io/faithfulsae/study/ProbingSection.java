package io.faithfulsae.study;

import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.metrics.Probing;
import io.faithfulsae.study.ModelResults.ProbingMean;
import io.faithfulsae.study.ModelResults.SeedMean;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.stream.Collectors;

/** The report's section on text tasks. */
final class ProbingSection {
  private static final List<String> FROM = List.of("baseline", "sae", "recon");

  private final ModelResults results;
  private final Html page;

  private ProbingSection(ModelResults results, Html page) {
    this.results = results;
    this.page = page;
  }

  /** Writes the section if there are results for it. */
  static void write(ModelResults results, Html page) {
    if (!results.probing().isEmpty()) {
      page.subheading("Text tasks, by linear probes");
      ProbingSection section = new ProbingSection(results, page);
      section.means();
      section.each();
    }
  }

  private void means() {
    List<List<String>> rows = new ArrayList<>();
    for (ProbingMean mean : results.probing()) {
      List<String> row =
          new ArrayList<>(
              List.of(
                  Html.escape(mean.task()),
                  Html.escape(mean.dataSet()),
                  Html.escape(mean.variant().isEmpty() ? ModelSection.MISSING : mean.variant())));
      FROM.forEach(from -> row.add(cell(Objects.requireNonNull(mean.accuracy().get(from)))));
      FROM.forEach(from -> row.add(cell(Objects.requireNonNull(mean.macroF1().get(from)))));
      rows.add(row);
    }
    page.table(
        "Means over the SAEs of all seeds (seeds %s), followed by each seed's value."
            .formatted(
                results.config().seeds().stream()
                    .map(String::valueOf)
                    .collect(Collectors.joining(", "))),
        List.of(
            "Task",
            "Trained on",
            "SAE",
            "Accuracy, baseline",
            "latents",
            "reconstructions",
            "Macro F1, baseline",
            "latents",
            "reconstructions"),
        rows);
  }

  private static String cell(SeedMean mean) {
    return Format.number(mean.mean())
        + ModelSection.small(
            mean.values().stream().map(Format::number).collect(Collectors.joining(", ")));
  }

  private void each() {
    List<List<String>> rows = new ArrayList<>();
    for (TrainedSae sae : results.saes()) {
      for (Probing task : sae.probing().values()) {
        rows.add(
            List.of(
                Html.escape(task.task()),
                Html.escape(sae.name()),
                score(task.baseline().accuracy()),
                score(task.sae().accuracy()),
                score(task.recon().accuracy()),
                score(task.baseline().macroF1()),
                score(task.sae().macroF1()),
                score(task.recon().macroF1()),
                Format.tenth(task.sae().meanNonZeros())));
      }
    }
    if (!rows.isEmpty()) {
      page.table(
          "Logistic regression on activations (baseline), latents and reconstructions, each averaged over a text's tokens; accuracy on test examples, with bootstrap intervals.",
          List.of(
              "Task",
              "SAE",
              "Accuracy, baseline",
              "latents",
              "reconstructions",
              "Macro F1, baseline",
              "latents",
              "reconstructions",
              "Latents per text"),
          rows);
    }
  }

  private static String score(BootstrapInterval score) {
    return Format.number(score.estimate()) + ModelSection.small(Format.range(score));
  }
}
