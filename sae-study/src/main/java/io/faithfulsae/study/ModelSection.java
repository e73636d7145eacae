package io.faithfulsae.study;

import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.study.ModelResults.Comparison;
import io.faithfulsae.study.ModelResults.DataSet;
import io.faithfulsae.study.ModelResults.SeedPair;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.Plots.Plot;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.DoubleFunction;
import java.util.function.Function;
import java.util.stream.Collectors;

/** The report's section on one model. */
final class ModelSection {
  static final String MISSING = "–";

  private final ModelResults results;
  private final Map<String, Plot> plots;
  private final Html page;

  private ModelSection(ModelResults results, Map<String, Plot> plots, Html page) {
    this.results = results;
    this.plots = plots;
    this.page = page;
  }

  /** Writes the section. */
  static void write(ModelResults results, Map<String, Plot> plots, Html page) throws IOException {
    new ModelSection(results, plots, page).write();
  }

  private void write() throws IOException {
    head();
    failures();
    if (!results.saes().isEmpty()) {
      findings();
      summary();
      pictures();
      SweepSection.write(results, page);
      Measurements.OF_SAES.forEach(measurement -> measurement.section(results, page));
    }
    Measurements.OF_TEXTS.forEach(measurement -> measurement.section(results, page));
    caveats();
  }

  private void head() {
    ModelResults.Model model = results.model();
    StudyConfig config = results.config();
    page.markup(
        "<section id=\"%s\"><h2 class=\"model\">%s</h2>"
            .formatted(Html.escape(results.name()), Html.escape(results.name())));
    page.markup(
        "<p class=\"lead\">%s SAEs (%s latents%s) on <code>%s</code> of %s (%d blocks, width %d): trained with %s on each of %s, evaluated on text that none was trained on.</p>"
            .formatted(
                families(config.sae()),
                config.sae().dSae().stream().map(Format::count).collect(Collectors.joining(", ")),
                config.sae().families().stream().anyMatch(SaeFamily::hasK)
                    ? config.sae().k().stream()
                        .map(String::valueOf)
                        .collect(Collectors.joining(", ", ", k = ", ""))
                    : "",
                Html.escape(model.hook()),
                Html.escape(results.name()),
                model.blocks(),
                model.dModel(),
                count(config.seeds().size(), "seed"),
                count(config.dataSets().size(), "data set")));
  }

  /** The activations, as their SAEs are called. */
  static String families(StudyConfig.SaeShape sae) {
    return sae.families().stream()
        .map(
            family -> {
              String label = family.activation(1).label();
              return family == SaeFamily.TOPK ? "TopK" : label.split(",", 2)[0];
            })
        .collect(Collectors.joining(", "));
  }

  private void failures() {
    if (!results.failures().isEmpty()) {
      page.subheading("What failed")
          .bullets(
              "failures",
              results.failures().stream().map(f -> f.part() + ": " + f.problem()).toList())
          .note("The rest does not depend on it. Run the same command again to retry these parts.");
    }
  }

  private void findings() {
    List<String> items = new ArrayList<>();
    for (Comparison comparison : results.comparisons()) {
      boolean share = Comparisons.isShare(comparison);
      DoubleFunction<String> format = share ? Format::percent : Format::number;
      BootstrapInterval.Difference d = comparison.difference();
      BootstrapInterval gap = d.difference();
      boolean open = gap.low() <= 0 && gap.high() >= 0;
      items.add(
          "%s%s: %s %s, %s %s. Difference %s, %s interval %s, p = %s, corrected %s: %s"
              .formatted(
                  comparison.metric(),
                  comparison.variant().isEmpty() ? "" : ", " + comparison.variant(),
                  comparison.first(),
                  format.apply(d.first()),
                  comparison.second(),
                  format.apply(d.second()),
                  format.apply(gap.estimate()),
                  Format.percent(gap.level()),
                  share ? Format.percentRange(gap) : Format.range(gap),
                  Format.number(d.pValue()),
                  Format.number(comparison.holmP()),
                  open
                      ? "the difference is not significant."
                      : (gap.estimate() > 0 ? comparison.first() : comparison.second())
                          + " is higher."));
    }
    if (!items.isEmpty()) {
      page.subheading("Findings").bullets("findings", items);
      page.note(
          "Intervals and p-values are over resampled features or noise sequences of these SAEs; they do not cover variation across seeds, models or texts. Corrected: for all comparisons in this report (Holm).");
    }
  }

  private void summary() {
    page.subheading("The SAEs");
    List<List<String>> rows = new ArrayList<>();
    for (TrainedSae sae : results.saes()) {
      rows.add(
          List.of(
              Html.escape(sae.dataSet()),
              Html.escape(sae.variant().isEmpty() ? "k = " + sae.k() : sae.variant()),
              String.valueOf(sae.seed()),
              pairOf(sae, pair -> Format.percent(pair.decoder().matched())),
              pairOf(sae, pair -> Format.percent(topOne(pair, sae))),
              Optional.ofNullable(sae.fake())
                  .map(
                      fake ->
                          Format.percent(fake.ratio())
                              + small(Format.percentRange(fake.interval())))
                  .orElse(MISSING),
              own(sae, on -> Format.number(on.crossEntropy().difference())),
              own(sae, on -> Format.percent(on.crossEntropy().lossRecovered())),
              own(sae, on -> Format.number(on.crossEntropy().klDivergence())),
              own(sae, on -> Format.percent(on.reconstruction().explainedVariance())),
              own(sae, on -> Format.percent(on.reconstruction().scalarExplainedVariance())),
              own(sae, on -> Format.number(on.reconstruction().l2Ratio())),
              own(sae, on -> Format.number(on.reconstruction().cosine())),
              own(sae, on -> Format.tenth(on.reconstruction().l0())),
              own(sae, on -> Format.percent(on.reconstruction().deadShare()))));
    }
    page.table(
        "Each SAE on the held-out part of its own data set.",
        List.of(
            "Trained on",
            "SAE",
            "Seed",
            "SFR matched",
            "SFR top-1",
            "FFR",
            "CE difference (nats)",
            "CE loss recovered (zeros)",
            "KL (nats)",
            "Explained variance",
            "EV, scalar form",
            "L2 ratio",
            "Cosine",
            "L0",
            "Dead"),
        rows);
  }

  private static String own(TrainedSae sae, Function<ModelResults.Evaluation, String> cell) {
    return sae.own().map(cell).orElse(MISSING);
  }

  private static double topOne(SeedPair pair, TrainedSae sae) {
    return pair.first().equals(sae.name()) ? pair.decoder().topOneA() : pair.decoder().topOneB();
  }

  private String pairOf(TrainedSae sae, Function<SeedPair, String> cell) {
    List<String> cells =
        results.seedPairs().stream()
            .filter(pair -> pair.first().equals(sae.name()) || pair.second().equals(sae.name()))
            .map(cell)
            .toList();
    return cells.isEmpty() ? MISSING : String.join(", ", cells);
  }

  private void pictures() throws IOException {
    page.subheading("Plots").markup("<div class=\"plots\">");
    for (Plot plot : plots.values()) {
      if (plot.alsoTable()) {
        continue;
      }
      page.markup(
          "<figure><img alt=\"%s\" src=\"data:image/png;base64,%s\"><figcaption><b>%s.</b> %s</figcaption></figure>"
              .formatted(
                  Html.escape(plot.title() + ". " + plot.caption()),
                  Base64.getEncoder().encodeToString(Files.readAllBytes(plot.png())),
                  Html.escape(plot.title()),
                  Html.escape(plot.caption())));
    }
    page.markup("</div>");
  }

  private void caveats() {
    List<String> items = new ArrayList<>();
    items.add(
        "A small model and small SAEs: enough to see every part work on real activations, not to settle the question.");
    if (results.config().seeds().size() < 3) {
      items.add(
          "With so few seeds the variation between seeds is poorly known: compare more seeds before trusting a small gap.");
    }
    for (TrainedSae sae : results.saes()) {
      long own = trainingTokens(sae.dataSet());
      if (sae.seed() == results.config().seeds().get(0)
          && sae.variant().equals(OverviewSection.variants(results).get(0).label())
          && sae.rows() > own) {
        items.add(
            "%s: trained on %s rows from about %s tokens, so each row was seen about %s times."
                .formatted(
                    sae.dataSet(),
                    Format.count(sae.rows()),
                    Format.count(own),
                    Format.number((double) sae.rows() / own)));
      }
    }
    items.add(
        "The threshold for a fake feature is absolute, so FFR depends on the scale of the activations (median norms are in the table of texts) and on k. A latent that fires everywhere counts as fake too; the table of noise against text counts only those that are more active on noise.");
    items.add(
        "Dead latents are rarely shared across seeds and never fire: read SFR and FFR together with the share of dead latents.");
    for (DataSet set : results.dataSets()) {
      double blind = Math.log(results.model().vocabulary());
      TextSection.clean(results, set)
          .filter(entropy -> entropy > 0.75 * blind)
          .ifPresent(
              entropy ->
                  items.add(
                      "%s: the model barely predicts this text (%s nats per token; uniform guessing costs %s), so the CE difference on it says little."
                          .formatted(set.name(), Format.number(entropy), Format.number(blind))));
    }
    page.subheading("Caveats").bullets("", items).markup("</section>");
  }

  private long trainingTokens(String dataSet) {
    DataSet set =
        results.dataSets().stream().filter(s -> s.name().equals(dataSet)).findFirst().orElseThrow();
    return Math.round(set.tokens() * (1 - share(set.heldOutSequences(), set.sequences())));
  }

  static double share(long part, long whole) {
    return whole == 0 ? 0 : (double) part / whole;
  }

  static String count(long number, String thing) {
    return number + " " + thing + (number == 1 ? "" : "s");
  }

  static String small(String text) {
    return "<span class=\"range\">" + Html.escape(text) + "</span>";
  }
}
