package io.faithfulsae.study.dashboard;

import io.faithfulsae.metrics.Histogram;
import io.faithfulsae.metrics.LatentCorrelations;
import io.faithfulsae.metrics.LatentDescription;
import io.faithfulsae.metrics.LatentDescription.Example;
import io.faithfulsae.metrics.LatentDescription.TokenEffect;
import io.faithfulsae.study.dashboard.Dashboard.Shown;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** The dashboard as a self-contained page that works offline. */
public final class DashboardPage {
  private static final int CONTEXT_BEFORE = 24;
  private static final int CONTEXT_AFTER = 12;

  private final Dashboard dashboard;
  private final Html page = new Html();

  private DashboardPage(Dashboard dashboard) {
    this.dashboard = dashboard;
  }

  /** Renders the page. */
  public static String render(Dashboard dashboard) throws IOException {
    return new DashboardPage(dashboard).render();
  }

  private String render() throws IOException {
    String title = "Latents of " + dashboard.sae();
    page.markup("<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">")
        .markup("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
        .markup("<title>" + Html.escape(title) + "</title><style>")
        .markup(resource("dashboard.css"))
        .markup("</style></head><body><h1>" + Html.escape(title) + "</h1>")
        .markup(
            "<p class=\"lead\">At <code>%s</code> of %s, on %s: %s positions.</p>"
                .formatted(
                    Html.escape(dashboard.hook()),
                    Html.escape(dashboard.model()),
                    Html.escape(dashboard.text()),
                    dashboard.latents().isEmpty()
                        ? "0"
                        : Format.count(dashboard.latents().get(0).description().rows())));
    page.markup(
        "<nav>"
            + dashboard.latents().stream()
                .map(
                    shown ->
                        "<a href=\"#latent-%d\">%d</a>"
                            .formatted(shown.description().latent(), shown.description().latent()))
                .collect(Collectors.joining(" "))
            + "</nav>");
    dashboard.latents().forEach(this::latent);
    page.note(
        "Colour: activation over the latent's largest. Raised and lowered tokens: what the decoder direction alone does to the logits through the model's own final norm. Correlation and Jaccard index: with latents that fire at the same positions.");
    return page.markup("</body></html>").toString();
  }

  private void latent(Shown shown) {
    LatentDescription latent = shown.description();
    page.markup("<section id=\"latent-%d\">".formatted(latent.latent()))
        .heading("Latent " + latent.latent());
    if (shown.explanation() != null) {
      page.markup("<p class=\"explanation\">" + Html.escape(shown.explanation()) + "</p>");
    }
    Dashboard.Score score = shown.score();
    if (score != null) {
      page.note(
          "Detection by this phrase alone: balanced accuracy %s, F1 %s (%d of %d firing snippets found, %d of %d silent ones judged as firing, %d not answered)."
              .formatted(
                  Format.number(score.balancedAccuracy()),
                  Format.number(score.f1()),
                  score.counts().truePositives(),
                  score.counts().truePositives() + score.counts().falseNegatives(),
                  score.counts().falsePositives(),
                  score.counts().falsePositives() + score.counts().trueNegatives(),
                  score.counts().unanswered()));
    }
    page.markup("<div class=\"columns\"><div>")
        .markup("<dl>")
        .term("Fires at", share(latent.density()) + " of positions")
        .term("Mean where it fires", Format.number(latent.meanActivation()))
        .term("Largest", Format.number(latent.maxActivation()))
        .markup("</dl>")
        .markup(histogram(latent.logActivations()))
        .markup("</div><div>");
    effects("Raises", latent.raised(), shown.raised());
    effects("Lowers", latent.lowered(), shown.lowered());
    page.markup("</div><div>");
    page.table(
        "Nearest by decoder direction",
        List.of("Latent", "Cosine"),
        latent.nearest().stream()
            .map(other -> List.of(String.valueOf(other.latent()), Format.number(other.cosine())))
            .toList());
    page.table(
        "Firing together",
        List.of("Latent", "Correlation", "Jaccard"),
        latent.correlated().stream()
            .map(
                other ->
                    List.of(
                        String.valueOf(other.latent()),
                        Format.number(other.correlation()),
                        Format.number(other.jaccard())))
            .toList());
    across(shown);
    page.markup("</div></div>");
    if (latent.examples().isEmpty()) {
      page.note("It fires nowhere in this text.");
    }
    for (int i = 0; i < latent.examples().size(); i++) {
      example(latent.examples().get(i), shown.examples().get(i), latent.maxActivation());
    }
    page.markup("</section>");
  }

  private void across(Shown shown) {
    LatentCorrelations.OfLatent across = shown.across();
    if (across == null) {
      return;
    }
    page.table(
        "Firing together in " + dashboard.other(),
        List.of("Latent", "Correlation", "Jaccard", "Cosine"),
        across.correlated().stream()
            .map(
                other ->
                    List.of(
                        String.valueOf(other.latent()),
                        Format.number(other.correlation()),
                        Format.number(other.jaccard()),
                        Format.number(other.cosine())))
            .toList());
    page.table(
        "Nearest by decoder direction in " + dashboard.other(),
        List.of("Latent", "Cosine"),
        across.nearest().stream()
            .map(other -> List.of(String.valueOf(other.latent()), Format.number(other.cosine())))
            .toList());
  }

  private void effects(String title, List<TokenEffect> effects, List<String> words) {
    List<List<String>> rows = new ArrayList<>();
    for (int i = 0; i < effects.size(); i++) {
      rows.add(
          List.of(
              "<td class=\"token\">" + Html.escape(visible(words.get(i))) + "</td>",
              Format.number(effects.get(i).logit())));
    }
    page.table(title, List.of("Token", "Logit"), rows);
  }

  private void example(Example example, List<String> words, double largest) {
    StringBuilder text = new StringBuilder("<p class=\"example\"><span class=\"max\">");
    text.append(Format.number(example.max())).append("</span> ");
    int from = Math.max(0, example.position() - CONTEXT_BEFORE);
    int to = Math.min(words.size(), example.position() + CONTEXT_AFTER + 1);
    text.append(from > 0 ? "… " : "");
    for (int t = from; t < to; t++) {
      double z = example.activations().get(t);
      String word = Html.escape(visible(words.get(t)));
      text.append(
          z != 0
              ? String.format(
                  Locale.ROOT,
                  "<mark style=\"--z:%.2f\" title=\"%s\">%s</mark>",
                  0.12 + 0.68 * Math.abs(z) / largest,
                  Format.number(z),
                  word)
              : word);
    }
    page.markup(text.append(to < words.size() ? " …" : "").append("</p>").toString());
  }

  /** Bars of the nonempty bins, on an axis of powers of ten. */
  private static String histogram(Histogram histogram) {
    List<Long> counts = histogram.counts();
    int first = 0;
    int last = counts.size() - 1;
    while (first < last && counts.get(first) == 0) {
      first++;
    }
    while (last > first && counts.get(last) == 0) {
      last--;
    }
    double most = Math.max(1, counts.stream().mapToLong(count -> count).max().orElse(0));
    double width = (histogram.high() - histogram.low()) / counts.size();
    StringBuilder bars = new StringBuilder("<div class=\"bars\" role=\"img\" aria-label=\"");
    bars.append("Histogram of activations\">");
    for (int bin = first; bin <= last; bin++) {
      bars.append(
          String.format(
              Locale.ROOT, "<i style=\"height:%.1f%%\"></i>", 100 * counts.get(bin) / most));
    }
    return bars.append("</div><div class=\"axis\"><span>")
        .append(Format.number(Math.pow(10, histogram.low() + first * width)))
        .append("</span><span>activation, log scale</span><span>")
        .append(Format.number(Math.pow(10, histogram.low() + (last + 1) * width)))
        .append("</span></div>")
        .toString();
  }

  private static String share(double density) {
    return density > 0 && density < 1e-3 ? Format.number(density) : Format.percent(density);
  }

  private static String visible(String token) {
    return token.replace("\n", "⏎\n").replace("\t", "⇥");
  }

  private static String resource(String name) throws IOException {
    try (InputStream in = DashboardPage.class.getResourceAsStream(name)) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }
}
