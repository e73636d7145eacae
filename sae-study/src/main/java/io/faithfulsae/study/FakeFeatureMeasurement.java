package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.metrics.NoiseAgainstText;
import io.faithfulsae.study.ModelResults.Fake;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.StepCache.Step;
import io.faithfulsae.study.Trained.Opened;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The latents that fire on noise: the Fake Feature Ratio, and noise against text. The section shows
 * the other definitions of {@link FakeVariantMeasurement} as well.
 */
final class FakeFeatureMeasurement implements Measurement {

  /** With the resamples, which comparing data sets needs and results omit. */
  record KeptFake(Fake fake, FakeFeatures.Resamples resamples) {}

  private record Fakes(Map<String, KeptFake> bySae) {}

  @Override
  public String name() {
    return "fake-features";
  }

  @Override
  public List<Unit> units(StudyContext on) {
    FakeSettings settings = on.config().fakeFeatures();
    long tokens = settings.tokens() + (long) settings.textSequences() * on.context();
    return Unit.ofSaes(
        on,
        name(),
        Cost.ofModel(tokens, 0),
        (found, group, step) -> found.fakes.putAll(measure(on, group, found.filter(), step)));
  }

  private static Map<String, KeptFake> measure(
      StudyContext on, Trained group, ActivationFilter filter, Step step) throws IOException {
    ActivationFilter noise = on.config().fakeFeatures().filter(filter);
    return step.run(
            List.of(
                group.key(),
                group.names(),
                noise.toString(),
                on.config().fakeFeatures(),
                on.config().bootstrap(),
                on.context()),
            Fakes.class,
            folder -> {
              try (Opened saes = group.open(on.backend())) {
                List<FakeFeatures> found =
                    Metrics.fakeFeatures(saes.all(), on.hooked(), options(on, group.on(), noise));
                Map<String, KeptFake> bySae = new LinkedHashMap<>();
                for (int i = 0; i < found.size(); i++) {
                  bySae.put(
                      group.names().get(i),
                      new KeptFake(Fake.of(found.get(i)), found.get(i).resamples()));
                }
                return new Fakes(bySae);
              }
            })
        .result()
        .bySae();
  }

  private static FakeFeatures.Options options(StudyContext on, Texts text, ActivationFilter noise) {
    FakeSettings fake = on.config().fakeFeatures();
    return FakeFeatures.Options.tokens(on.context())
        .noiseTokens(fake.tokens())
        .activationThreshold(fake.activation())
        .rateThreshold(fake.frequency())
        .filter(noise)
        .againstText(fake.falseDiscoveryRate(), fake.minimumRatio())
        .seed(fake.seed())
        .resamples(on.config().bootstrap().resamples())
        .level(on.config().bootstrap().level())
        .text(text.heldOut(), fake.textSequences())
        .build();
  }

  @Override
  public void section(ModelResults results, Html page) {
    if (results.saes().stream().anyMatch(sae -> sae.fake() != null)) {
      page.subheading("Fake features");
      noiseAgainstText(results, page);
      definitions(results, page);
    }
  }

  private static void noiseAgainstText(ModelResults results, Html page) {
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

  private static void definitions(ModelResults results, Html page) {
    List<List<String>> rows = new ArrayList<>();
    for (TrainedSae sae : results.saes()) {
      Map<String, Fake> variants = sae.fakeVariants();
      Fake tokens = sae.fake();
      if (tokens != null) {
        row(rows, sae, "tokens, z > " + results.config().fakeFeatures().activation(), tokens);
      }
      Fake sequences = variants.get(FakeVariantMeasurement.SEQUENCES);
      if (sequences != null) {
        row(
            rows,
            sae,
            "sequences, Σz > " + results.config().fakeVariants().activation(),
            sequences);
      }
      Fake relative = variants.get(FakeVariantMeasurement.RELATIVE);
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
