package io.faithfulsae.study;

import io.faithfulsae.study.Plots.Plot;
import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.study.provenance.Provenance;
import io.faithfulsae.study.report.Html;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The report: a self-contained page that works offline. */
final class HtmlReport {
  private static final String TITLE = "Faithful and outside text: sparse autoencoders compared";

  private final StudyResults results;
  private final Map<String, Map<String, Plot>> plots;
  private final Map<String, Double> seconds;
  private final Html page = new Html();

  private HtmlReport(
      StudyResults results, Map<String, Map<String, Plot>> plots, Map<String, Double> seconds) {
    this.results = results;
    this.plots = plots;
    this.seconds = seconds;
  }

  /**
   * Renders the page.
   *
   * @param plots of each model
   * @param seconds what each step took
   */
  static String render(
      StudyResults results, Map<String, Map<String, Plot>> plots, Map<String, Double> seconds)
      throws IOException {
    return new HtmlReport(results, plots, seconds).render();
  }

  private String render() throws IOException {
    page.markup("<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">")
        .markup("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
        .markup("<title>" + TITLE + "</title><style>" + resource("report.css") + "</style>")
        .markup("</head><body><h1>" + TITLE + "</h1>");
    contents();
    OverviewSection.write(results, page);
    AcrossModels.write(results, page);
    for (ModelResults model : results.models()) {
      ModelSection.write(model, plots.getOrDefault(model.name(), Map.of()), page);
    }
    definitions();
    methods();
    provenance();
    return page.markup("<script>" + resource("report.js") + "</script></body></html>").toString();
  }

  private void contents() {
    String links =
        Stream.concat(
                results.models().stream().map(ModelResults::name),
                Stream.of("definitions", "methods", "provenance"))
            .map(name -> "<a href=\"#%s\">%s</a>".formatted(Html.escape(name), Html.escape(name)))
            .collect(Collectors.joining(" · "));
    String across =
        results.models().size() < 2 ? "" : "<a href=\"#across-models\">across models</a> · ";
    page.markup("<nav><a href=\"#overview\">overview</a> · " + across + links + "</nav>");
  }

  private void definitions() {
    page.markup("<h2 id=\"definitions\">Definitions</h2><dl>");
    page.term("Faithful text", "Sampled by the model itself from its BOS token alone.")
        .term(
            "SFR matched",
            "Shared Feature Ratio: decoder directions of two seeds are matched one to one so that the sum of cosines is largest; the share of pairs above the threshold.")
        .term(
            "SFR top-1",
            "Share of one SAE's latents whose best cosine in the other is above the threshold.")
        .term(
            "FFR",
            "Fake Feature Ratio: share of latents that fire above the activation threshold on more than the given share of uniformly random tokens after BOS; the methods section gives the numbers.")
        .term(
            "Shared by both",
            "Share of latents that the one-to-one matchings by decoder directions and by encoder directions both pair with the same latent, with both cosines above the threshold.")
        .term(
            "Correlated",
            "Share of the latents that fire whose activations correlate (Pearson, over tokens of held-out text) above the threshold with those of some latent of the other SAE.")
        .term(
            "Neurons",
            "Mean over the elements of the residual stream of the best cosine between the two SAEs' vectors of length d_sae, as in the authors' comparison; latents of two seeds are ordered differently, so it is low.")
        .term(
            "FFR by sequences",
            "Share of latents whose activations sum to more than the threshold in more than the given share of noise sequences.")
        .term(
            "FFR, relative",
            "Like FFR, but a latent fires when it exceeds a multiple of its own mean activation on held-out text.")
        .term(
            "Common text",
            "Held-out text on which all SAEs of a model are evaluated: equal parts from every data set, or text from the one chosen in the settings.")
        .term(
            "p, corrected",
            "Holm's step-down correction for all comparisons in this report, over all models.")
        .term(
            "Half Jeffreys",
            "Mean of the Kullback-Leibler divergences both ways, which the authors' program calls Jensen-Shannon; the Jensen-Shannon divergence proper is given next to it.")
        .term(
            "Attribution",
            "How much the mean squared error would grow if that latent alone were set to zero.")
        .term(
            "CE difference",
            "Next-token cross entropy with the residual stream at the hook replaced by the reconstruction, minus without, in nats.")
        .term(
            "CE loss recovered",
            "(CE with zeros − CE with the reconstruction) / (CE with zeros − CE of the model).")
        .term(
            "KL",
            "Kullback-Leibler divergence from the model's next-token distribution to the one with the reconstruction.")
        .term("Explained variance", "1 − FVU; FVU = Σ‖x − x̂‖² / Σ‖x − mean(X)‖².")
        .term(
            "EV, scalar form",
            "1 − var(X − X̂) / var(X) with one variance over all elements; it also credits the means of the columns, so it is higher.")
        .term(
            "Probe",
            "L2-regularized logistic regression on one vector per text, C chosen on a held-out fifth of the training examples.")
        .term("L2 ratio", "Mean ‖x̂‖ / ‖x‖.")
        .term("Cosine", "Mean cosine of x and x̂.")
        .term("L0", "Mean number of latents that fire on a token.")
        .term("Dead", "Share of latents that fire on none of the held-out tokens.");
    page.markup("</dl>");
  }

  private void methods() {
    page.markup("<h2 id=\"methods\">Methods (ready to paste into a paper)</h2>");
    for (ModelResults model : results.models()) {
      page.markup(
          "<p class=\"methods\">"
              + Html.escape(Methods.paragraph(model, results.provenance()))
              + "</p>");
    }
  }

  private void provenance() {
    Provenance made = results.provenance();
    page.markup("<h2 id=\"provenance\">Provenance</h2><dl>");
    page.term("Program", "FaithfulSAE for Java " + made.version())
        .term("Java", made.java())
        .term("System", made.os())
        .term("Random numbers", made.random())
        .term(
            "Backend",
            made.backend().name()
                + ", "
                + made.backend().device()
                + " "
                + made.backend().details());
    for (ModelResults model : results.models()) {
      page.term("Files of " + model.name(), "SHA-256 " + model.model().hash());
      model
          .dataSets()
          .forEach(
              set ->
                  page.term(
                      "Tokens of " + set.name() + ", " + model.name(), "SHA-256 " + set.hash()));
    }
    double total = seconds.values().stream().mapToDouble(Double::doubleValue).sum();
    page.term("Time", "%.0f s for all steps together".formatted(total));
    page.markup("</dl>");
    page.markup("<details><summary>Time of each step</summary><pre>");
    seconds.forEach((name, took) -> page.markup("%8.1f s  %s".formatted(took, Html.escape(name))));
    page.markup("</pre></details>");
    for (ModelResults model : results.models()) {
      page.markup(
              "<details><summary>All settings of %s</summary><pre>"
                  .formatted(Html.escape(model.name())))
          .markup(Html.escape(Json.pretty(model.config())))
          .markup("</pre></details>");
    }
    page.note(
        "All numbers, including those that do not fit here, are in results.json next to this page; results.schema.json describes it.");
  }

  private static String resource(String name) throws IOException {
    try (InputStream in = HtmlReport.class.getResourceAsStream(name)) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }
}
