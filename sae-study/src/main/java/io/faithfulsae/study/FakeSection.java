package io.faithfulsae.study;

import io.faithfulsae.metrics.NoiseAgainstText;
import io.faithfulsae.study.ModelResults.Fake;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** The report's section on fake features: noise against text first, then each definition. */
final class FakeSection {
  private final ModelResults results;
  private final Html page;

  private FakeSection(ModelResults results, Html page) {
    this.results = results;
    this.page = page;
  }

  /** Writes the section if there are results for it. */
  static void write(ModelResults results, Html page) {
    FakeSection section = new FakeSection(results, page);
    if (results.saes().stream().anyMatch(sae -> sae.fake() != null)) {
      page.subheading("Fake features");
      section.noiseAgainstText();
      section.definitions();
    }
  }

  private void noiseAgainstText() {
    List<List<String>> rows = new ArrayList<>();
    for (TrainedSae sae : results.saes()) {
      Fake fake = sae.fake();
      NoiseAgainstText against = fake == null ? null : fake.noiseAgainstText();
      if (against != null) {
        rows.add(
            List.of(
                Html.escape(sae.name()),
                Format.percent(against.shareMoreOnNoise()),
                Format.count(against.moreOnNoise()),
                Format.percent(against.shareMoreOnText()),
                Format.percent((double) against.different() / against.dSae()),
                Format.number(against.medianAuc()),
                Format.number(against.meanNoiseRate()),
                Format.number(against.meanTextRate()),
                Format.count(against.neverActive())));
      }
    }
    if (rows.isEmpty()) {
      return;
    }
    FakeSettings settings = results.config().fakeFeatures();
    page.table(
        "Latents that are active (z > 0) on random tokens against held-out text of the SAE's own data set. More on noise: significantly, at a false discovery rate of %s over all latents, and at least %s times as often."
            .formatted(
                Format.percent(settings.falseDiscoveryRate()),
                Format.number(settings.minimumRatio())),
        List.of(
            "SAE",
            "More on noise",
            "Latents",
            "More on text",
            "Different either way",
            "Median AUC",
            "Active share, noise",
            "Active share, text",
            "Never active"),
        rows);
    page.note(
        "The test is Mann-Whitney's of the share of a sequence's tokens on which a latent is active, since tokens within a sequence are not independent. AUC: how likely z is larger at a random token than at one of text, ties half; 0.5 says nothing separates them. No threshold on z, so the scale of the activations does not matter.");
  }

  private void definitions() {
    List<List<String>> rows = new ArrayList<>();
    for (TrainedSae sae : results.saes()) {
      Map<String, Fake> variants = sae.fakeVariants();
      Fake tokens = sae.fake();
      if (tokens != null) {
        row(rows, sae, "tokens, z > " + results.config().fakeFeatures().activation(), tokens);
      }
      Fake sequences = variants.get(CurveSteps.SEQUENCES);
      if (sequences != null) {
        row(
            rows,
            sae,
            "sequences, Σz > " + results.config().fakeVariants().activation(),
            sequences);
      }
      Fake relative = variants.get(CurveSteps.RELATIVE);
      if (relative != null) {
        row(
            rows,
            sae,
            "tokens, z > %s × own mean"
                .formatted(results.config().fakeVariants().relativeActivation()),
            relative);
      }
    }
    page.table(
        "Fake Feature Ratio by each definition; these look only at noise. Intervals are over latents and noise sequences. An absolute threshold depends on the scale of the activations, which the table shows; one relative to a latent's own mean on held-out text does not.",
        List.of(
            "SAE",
            "Definition",
            "FFR",
            "Fire on text too",
            "Mean norm, noise",
            "Mean norm, text",
            "Mean z, noise",
            "Mean z, text"),
        rows);
  }

  private static void row(List<List<String>> rows, TrainedSae sae, String definition, Fake fake) {
    rows.add(
        List.of(
            Html.escape(sae.name()),
            "<td class=\"text\">" + Html.escape(definition) + "</td>",
            Format.percent(fake.ratio())
                + "<span class=\"range\">"
                + Html.escape(Format.percentRange(fake.interval()))
                + "</span>",
            "%d of %d".formatted(fake.firingOnTextToo(), fake.count()),
            Format.number(fake.noise().meanNorm()),
            Format.number(fake.text().meanNorm()),
            Format.number(fake.noise().meanActivation()),
            Format.number(fake.text().meanActivation())));
  }
}
