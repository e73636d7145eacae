package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.metrics.CrossEntropy;
import io.faithfulsae.metrics.Reconstruction;
import io.faithfulsae.study.Plots.Plot;
import io.faithfulsae.study.StudyResults.Comparison;
import io.faithfulsae.study.StudyResults.DataSet;
import io.faithfulsae.study.StudyResults.SeedPair;
import io.faithfulsae.study.StudyResults.TrainedSae;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.ToLongFunction;

/** The report: one page that needs no other file and no network. */
final class HtmlReport {
  private static final String TITLE = "Faithful and outside text: sparse autoencoders compared";

  private final StudyResults results;
  private final Map<String, Plot> plots;
  private final Map<String, Double> seconds;
  private final Html page = new Html();

  private HtmlReport(StudyResults results, Map<String, Plot> plots, Map<String, Double> seconds) {
    this.results = results;
    this.plots = plots;
    this.seconds = seconds;
  }

  /**
   * Renders the page.
   *
   * @param seconds what each step took
   */
  static String render(StudyResults results, Map<String, Plot> plots, Map<String, Double> seconds)
      throws IOException {
    return new HtmlReport(results, plots, seconds).render();
  }

  private String render() throws IOException {
    page.markup("<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">")
        .markup("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
        .markup("<title>" + TITLE + "</title><style>" + css() + "</style></head><body>");
    head();
    findings();
    summary();
    pictures();
    crossData();
    sharedFeatures();
    texts();
    definitions();
    caveats();
    provenance();
    return page.markup("</body></html>").toString();
  }

  private void head() {
    StudyResults.Model model = results.model();
    StudyConfig config = results.config();
    page.markup("<h1>" + TITLE + "</h1>");
    page.markup(
        "<p class=\"lead\">TopK SAEs (%s latents, k = %d) on <code>%s</code> of %s (%d blocks, width %d): trained with %s on each of %s, judged on text that none was trained on.</p>"
            .formatted(
                Format.count(config.sae().dSae()),
                config.sae().k(),
                Html.escape(model.hook()),
                Html.escape(model.name()),
                model.blocks(),
                model.dModel(),
                count(config.seeds().size(), "seed"),
                count(results.dataSets().size(), "data set")));
  }

  private void findings() {
    List<String> items = new ArrayList<>();
    for (Comparison comparison : results.comparisons()) {
      BootstrapInterval.Difference d = comparison.difference();
      BootstrapInterval gap = d.difference();
      boolean open = gap.low() <= 0 && gap.high() >= 0;
      items.add(
          "%s: %s %s, %s %s. Difference %s, %s interval %s, p = %s: %s"
              .formatted(
                  comparison.metric(),
                  comparison.first(),
                  Format.number(d.first()),
                  comparison.second(),
                  Format.number(d.second()),
                  Format.number(gap.estimate()),
                  Format.percent(gap.level()),
                  Format.range(gap),
                  Format.number(d.pValue()),
                  open
                      ? "no difference can be told."
                      : (gap.estimate() > 0 ? comparison.first() : comparison.second())
                          + " is higher."));
    }
    if (!items.isEmpty()) {
      page.heading("What came out").bullets("findings", items);
      page.note(
          "Intervals and p-values are over the resampled features or noise sequences of these very SAEs; they do not cover what other seeds, models or texts would give.");
    }
  }

  private void summary() {
    page.heading("The SAEs");
    List<List<String>> rows = new ArrayList<>();
    for (TrainedSae sae : results.saes()) {
      Reconstruction rec = sae.own().reconstruction();
      CrossEntropy ce = sae.own().crossEntropy();
      rows.add(
          List.of(
              Html.escape(sae.dataSet()),
              String.valueOf(sae.seed()),
              pairOf(sae, pair -> Format.percent(pair.decoder().matched())),
              pairOf(sae, pair -> Format.percent(topOne(pair, sae))),
              Format.percent(sae.fake().ratio())
                  + small(Format.percentRange(sae.fake().interval())),
              Format.number(ce.difference()),
              Format.percent(ce.lossRecovered()),
              Format.percent(rec.explainedVariance()),
              Format.percent(rec.scalarExplainedVariance()),
              Format.tenth(rec.l0()),
              Format.percent(rec.deadShare())));
    }
    page.table(
        "Each SAE on the held-out part of its own data set.",
        List.of(
            "Trained on",
            "Seed",
            "SFR matched",
            "SFR top-1",
            "FFR",
            "CE difference (nats)",
            "CE loss recovered",
            "Explained variance",
            "EV, scalar form",
            "L0",
            "Dead"),
        rows);
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
    return cells.isEmpty() ? "–" : String.join(", ", cells);
  }

  private void pictures() throws IOException {
    page.heading("Plots").markup("<div class=\"plots\">");
    for (Plot plot : plots.values()) {
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

  private void crossData() {
    page.heading("Every SAE on every data set");
    matrix(
        "Explained variance (1 − FVU) on held-out text: higher is better.",
        e -> e.reconstruction().explainedVariance(),
        Format::percent,
        true);
    matrix(
        "CE difference in nats: lower is better.",
        e -> e.crossEntropy().difference(),
        Format::number,
        false);
    matrix(
        "Mean squared error over all elements: lower is better.",
        e -> e.reconstruction().l2(),
        Format::number,
        false);
  }

  private void matrix(
      String caption,
      Function<StudyResults.Evaluation, Double> value,
      Function<Double, String> format,
      boolean higherIsBetter) {
    double[] all =
        results.saes().stream()
            .flatMap(sae -> sae.on().values().stream())
            .mapToDouble(value::apply)
            .sorted()
            .toArray();
    double low = all[0];
    double high = all[all.length - 1];
    List<String> head = new ArrayList<>(List.of("Trained on (seed)"));
    results.dataSets().forEach(set -> head.add("on " + set.name()));
    List<List<String>> rows = new ArrayList<>();
    for (TrainedSae sae : results.saes()) {
      List<String> row =
          new ArrayList<>(List.of(Html.escape(sae.dataSet()) + " (" + sae.seed() + ")"));
      for (DataSet set : results.dataSets()) {
        double v = value.apply(sae.on(set.name()));
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

  private void sharedFeatures() {
    if (results.seedPairs().isEmpty()) {
      return;
    }
    page.heading("Features shared by two seeds");
    List<List<String>> rows = new ArrayList<>();
    for (SeedPair pair : results.seedPairs()) {
      for (var shared : List.of(pair.decoder(), pair.encoder())) {
        rows.add(
            List.of(
                Html.escape(pair.dataSet()),
                shared.directions().name().toLowerCase(java.util.Locale.ROOT),
                Format.percent(shared.matched()),
                Format.percent(shared.topOneA()),
                Format.percent(shared.topOneB()),
                Format.number(shared.meanMatched()),
                Format.number((shared.meanTopOneA() + shared.meanTopOneB()) / 2)));
      }
    }
    page.table(
        "Cosine above "
            + results.config().sharedFeatures().threshold()
            + " counts as shared. The Shared Feature Ratio is the one of decoder directions.",
        List.of(
            "Trained on",
            "Directions",
            "Matched",
            "Top-1, first in second",
            "Top-1, second in first",
            "Mean cosine, matched",
            "Mean cosine, top-1"),
        rows);
  }

  private void texts() {
    page.heading("The text");
    List<List<String>> rows = new ArrayList<>();
    for (DataSet set : results.dataSets()) {
      rows.add(
          List.of(
              Html.escape(set.name()),
              "<td class=\"text\">" + Html.escape(set.origin()) + "</td>",
              Format.count(set.sequences())
                  + small(Format.count(set.heldOutSequences()) + " held out"),
              Format.count(set.tokens()),
              Format.count(set.distinctTokens()),
              Format.number(clean(set)),
              Format.number(set.norms().median()),
              leftOut(set, counts -> counts.byPosition() + counts.byToken()),
              leftOut(set, ActivationFilter.Counts::byNorm)));
    }
    page.table(
        "What the SAEs read.",
        List.of(
            "Data set",
            "Origin",
            "Sequences",
            "Tokens",
            "Distinct tokens",
            "CE of the model (nats)",
            "Median norm",
            "Left out: position or BOS",
            "Left out: norm"),
        rows);
    page.note(filterNote());
    for (DataSet set : results.dataSets()) {
      if (!set.samples().isEmpty()) {
        page.subheading("Samples: " + set.name());
        set.samples()
            .forEach(text -> page.markup("<blockquote>" + Html.escape(text) + "</blockquote>"));
      }
    }
  }

  private String leftOut(DataSet set, ToLongFunction<ActivationFilter.Counts> what) {
    ActivationFilter.Counts counts =
        results.saes().stream()
            .filter(sae -> sae.dataSet().equals(set.name()))
            .findFirst()
            .orElseThrow()
            .counts();
    long all = counts.kept() + counts.byPosition() + counts.byToken() + counts.byNorm();
    return Format.percent(share(what.applyAsLong(counts), all));
  }

  private double clean(DataSet set) {
    return results.saes().get(0).on(set.name()).crossEntropy().clean();
  }

  private String filterNote() {
    StudyConfig.Filter filter = results.config().filter();
    String bos = filter.skipBos() ? ", BOS wherever it stands" : "";
    Double multiple = filter.normMultiple();
    String norm =
        multiple == null
            ? "; norms are not bounded"
            : ", and rows whose norm exceeds %s (%s × the largest median)"
                .formatted(Format.number(results.maxNorm()), Format.number(multiple));
    return "Left out of training and evaluation alike: the first %s of every sequence%s%s. The shares are of the rows read in training."
        .formatted(count(filter.skipPositions(), "position"), bos, norm);
  }

  private void definitions() {
    StudyConfig.Fake fake = results.config().fakeFeatures();
    page.heading("Definitions").markup("<dl>");
    page.term("Faithful text", "Sampled by the model itself from its BOS token alone.")
        .term(
            "SFR matched",
            "Shared Feature Ratio: decoder directions of two seeds are matched one to one so that the sum of cosines is largest; the share of pairs above the threshold.")
        .term(
            "SFR top-1",
            "Share of one SAE's latents whose best cosine in the other is above the threshold.")
        .term(
            "FFR",
            "Fake Feature Ratio: share of latents that fire (z > %s) at more than %s of %s uniformly random tokens behind BOS."
                .formatted(
                    Format.number(fake.activation()),
                    Format.percent(fake.frequency()),
                    Format.count(fake.tokens())))
        .term(
            "CE difference",
            "Next-token cross entropy with the residual stream at the hook replaced by the reconstruction, minus without, in nats.")
        .term(
            "CE loss recovered",
            "(CE with zeros − CE with the reconstruction) / (CE with zeros − CE of the model).")
        .term("Explained variance", "1 − FVU; FVU = Σ‖x − x̂‖² / Σ‖x − mean(X)‖².")
        .term(
            "EV, scalar form",
            "1 − var(X − X̂) / var(X) with one variance over all elements; it also credits the means of the columns, so it is higher.")
        .term("L0", "Mean number of latents that fire on a token.")
        .term("Dead", "Share of latents that fire on none of the held-out tokens that were read.");
    page.markup("</dl>");
  }

  private void caveats() {
    List<String> items = new ArrayList<>();
    items.add(
        "A small model and small SAEs: enough to see every part work on real activations, not to settle the question.");
    if (results.config().seeds().size() < 3) {
      items.add(
          "With so few seeds the spread between seeds is hardly known: compare more seeds before believing a small gap.");
    }
    for (TrainedSae sae : results.saes()) {
      long own = trainingTokens(sae.dataSet());
      if (sae.seed() == results.config().seeds().get(0) && sae.rows() > own) {
        items.add(
            "%s: trained on %s rows from about %s tokens, so each was seen about %s times."
                .formatted(
                    sae.dataSet(),
                    Format.count(sae.rows()),
                    Format.count(own),
                    Format.number((double) sae.rows() / own)));
      }
    }
    items.add(
        "The threshold of a fake feature is absolute, so FFR depends on the scale of the activations (median norms are in the table of texts) and on k. A latent that fires everywhere counts as fake too: the results file says how many of the fake latents fire as often on ordinary text.");
    items.add(
        "Dead latents share little across seeds and answer to nothing: read SFR and FFR beside the share of dead latents.");
    for (DataSet set : results.dataSets()) {
      if (clean(set) > 0.75 * Math.log(results.model().vocabulary())) {
        items.add(
            "%s: the model hardly understands this text (%s nats a token, %s for guessing blindly), so the CE difference on it says little."
                .formatted(
                    set.name(),
                    Format.number(clean(set)),
                    Format.number(Math.log(results.model().vocabulary()))));
      }
    }
    page.heading("Read with care").bullets("", items);
  }

  private long trainingTokens(String dataSet) {
    DataSet set =
        results.dataSets().stream().filter(s -> s.name().equals(dataSet)).findFirst().orElseThrow();
    return Math.round(set.tokens() * (1 - share(set.heldOutSequences(), set.sequences())));
  }

  private void provenance() {
    Provenance made = results.provenance();
    page.heading("How it was made").markup("<dl>");
    page.term("Program", "FaithfulSAE for Java " + made.version())
        .term("Java", made.java())
        .term("System", made.os())
        .term(
            "Backend",
            made.backend().name() + ", " + made.backend().device() + " " + made.backend().details())
        .term("Model files", "SHA-256 " + results.model().hash());
    results
        .dataSets()
        .forEach(set -> page.term("Tokens of " + set.name(), "SHA-256 " + set.hash()));
    double total = seconds.values().stream().mapToDouble(Double::doubleValue).sum();
    page.term("Time", "%.0f s for all steps together".formatted(total));
    page.markup("</dl>");
    page.markup("<details><summary>Time of each step</summary><pre>");
    seconds.forEach((name, took) -> page.markup("%8.1f s  %s".formatted(took, Html.escape(name))));
    page.markup("</pre></details><details><summary>All settings</summary><pre>")
        .markup(Html.escape(Json.pretty(results.config())))
        .markup("</pre></details>");
    page.note(
        "All numbers, with those that have no room here, are in results.json beside this page.");
  }

  private static double share(long part, long whole) {
    return whole == 0 ? 0 : (double) part / whole;
  }

  private static String count(long number, String thing) {
    return number + " " + thing + (number == 1 ? "" : "s");
  }

  private static String small(String text) {
    return "<span class=\"range\">" + Html.escape(text) + "</span>";
  }

  private static String css() throws IOException {
    try (InputStream in = HtmlReport.class.getResourceAsStream("report.css")) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }
}
