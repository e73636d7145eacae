package io.faithfulsae.study;

import io.faithfulsae.metrics.SharedFeatures.Neurons;
import io.faithfulsae.study.CurveResults.AtK;
import io.faithfulsae.study.CurveResults.Part;
import io.faithfulsae.study.CurveResults.Quality;
import io.faithfulsae.study.CurveResults.SeedAgreement;
import io.faithfulsae.study.CurveResults.Subsets;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** The report's sections on other k and on subsets of latents. */
final class CurveSection {
  private final ModelResults results;
  private final Html page;

  private CurveSection(ModelResults results, Html page) {
    this.results = results;
    this.page = page;
  }

  /** Writes the sections that there are results for. */
  static void write(ModelResults results, Html page) {
    CurveSection section = new CurveSection(results, page);
    section.agreements();
    section.byK();
    section.subsets();
  }

  private void agreements() {
    if (results.seedAgreements().isEmpty()) {
      return;
    }
    List<List<String>> rows = new ArrayList<>();
    for (SeedAgreement pair : results.seedAgreements()) {
      rows.add(
          List.of(
              Html.escape(pair.dataSet()),
              Html.escape(pair.variant().isEmpty() ? "k = " + pair.k() : pair.variant()),
              Html.escape(pair.first()) + ", " + Html.escape(pair.second()),
              Format.percent(pair.agreement().agreeing()),
              Format.percent(pair.agreement().sharedByBoth()),
              Format.percent(pair.correlations().shareAboveA()),
              Format.percent(pair.correlations().shareAboveB()),
              Format.number(
                  (pair.correlations().meanBestA() + pair.correlations().meanBestB()) / 2),
              neurons(pair.decoderNeurons()),
              neurons(pair.encoderNeurons())));
    }
    page.table(
        "The same pairs by decoder and encoder together, by what their latents do on held-out text (correlation above "
            + results.config().sharedFeatures().threshold()
            + ", among latents that fire), and by neurons.",
        List.of(
            "Trained on",
            "SAE",
            "SAEs",
            "Matchings agree",
            "Shared by both",
            "Correlated, first in second",
            "Correlated, second in first",
            "Mean best correlation",
            "Neurons, decoder",
            "Neurons, encoder"),
        rows);
  }

  private static String neurons(Neurons neurons) {
    return Format.number(neurons.ranksA().get(0).mean());
  }

  private void byK() {
    List<List<String>> rows = new ArrayList<>();
    for (TrainedSae sae : results.saes()) {
      for (AtK at : sae.byK()) {
        Double fake = at.fakeRatio();
        List<String> row =
            new ArrayList<>(
                List.of(
                    Html.escape(sae.name()),
                    String.valueOf(at.k()) + (at.k() == sae.k() ? " (own)" : "")));
        row.addAll(quality(at.quality()));
        row.add(fake == null ? ModelSection.MISSING : Format.percent(fake));
        rows.add(row);
      }
    }
    if (!rows.isEmpty()) {
      page.subheading("With other k");
      page.markup("<details><summary>Table: every SAE with each k</summary>");
      page.table(
          "Each SAE as trained, evaluated with another k on held-out text of its own data set.",
          List.of(
              "SAE",
              "k",
              "Explained variance",
              "EV, scalar form",
              "L2",
              "L0",
              "Dead",
              "CE difference (nats)",
              "CE loss recovered",
              "KL (nats)",
              "FFR"),
          rows);
      page.markup("</details>");
      page.note(
          "The curves are among the plots. The text is shorter than in the first table, so numbers at the SAE's own k differ slightly.");
    }
  }

  private void subsets() {
    List<List<String>> rows = new ArrayList<>();
    for (TrainedSae sae : results.saes()) {
      for (Subsets subsets : sae.subsets()) {
        String by = subsets.by().name().toLowerCase(Locale.ROOT).replace('_', ' ');
        subsets.best().forEach(part -> rows.add(part(sae, by, "best", part)));
        subsets.worst().forEach(part -> rows.add(part(sae, by, "worst", part)));
        rows.add(part(sae, by, "all", new Part(sae.dSae(), subsets.whole())));
      }
    }
    if (!rows.isEmpty()) {
      page.subheading("Subsets of latents");
      page.markup(
          "<details><summary>Table: every SAE with only its best or its worst latents</summary>");
      page.table(
          "Latents that fire on the training text are ranked on it; on held-out text, all others are set to zero after the top-k. None: only the decoder's bias.",
          List.of(
              "SAE",
              "Ranked by",
              "Kept",
              "Latents",
              "Explained variance",
              "EV, scalar form",
              "L2",
              "L0",
              "Dead",
              "CE difference (nats)",
              "CE loss recovered",
              "KL (nats)"),
          rows);
      page.markup("</details>");
    }
  }

  private static List<String> part(TrainedSae sae, String by, String kept, Part part) {
    List<String> row =
        new ArrayList<>(
            List.of(
                Html.escape(sae.name()),
                "<td class=\"text\">" + by + "</td>",
                "<td class=\"text\">" + kept + "</td>",
                Format.count(part.latents())));
    row.addAll(quality(part.quality()));
    return row;
  }

  private static List<String> quality(Quality quality) {
    return List.of(
        Format.percent(quality.explainedVariance()),
        Format.percent(quality.scalarExplainedVariance()),
        Format.number(quality.l2()),
        Format.tenth(quality.l0()),
        Format.percent(quality.deadShare()),
        Format.number(quality.ceDifference()),
        Format.percent(quality.lossRecovered()),
        Format.number(quality.klDivergence()));
  }
}
