package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.KCurve;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.study.CurveResults.AtK;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.Plots.Drawn;
import io.faithfulsae.study.StepCache.Step;
import io.faithfulsae.study.Trained.Opened;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;

/** Each SAE with other k than it was trained with. */
final class KCurveMeasurement implements Measurement {

  private record ByK(Map<String, List<AtK>> bySae) {}

  @Override
  public String name() {
    return "k-curve";
  }

  @Override
  public List<Unit> units(StudyContext on) {
    StudyConfig.ByK settings = on.config().kCurve();
    if (settings.multiples().isEmpty()) {
      return List.of();
    }
    long variants = on.grid().variants().size();
    long views = (long) on.grid().cells().size() * settings.multiples().size();
    Cost cost =
        Cost.ofModel(
            variants * (settings.rows() + 2 * settings.ceTokens() + settings.fakeTokens()),
            settings.ceTokens() * (3 * variants + views));
    return Unit.ofSaes(
        on,
        name(),
        cost,
        (found, group, step) -> found.byK.putAll(measure(on, group, found.filter(), step)));
  }

  private static Map<String, List<AtK>> measure(
      StudyContext on, Trained group, ActivationFilter filter, Step step) throws IOException {
    StudyConfig.ByK settings = on.config().kCurve();
    return step.run(
            List.of(
                on.inputs(group, filter),
                settings,
                on.config().fakeFeatures(),
                on.config().bootstrap(),
                on.context()),
            ByK.class,
            folder -> {
              Map<String, List<AtK>> bySae = new LinkedHashMap<>();
              try (Opened saes = group.open(on.backend())) {
                for (Variant variant : on.grid().variants()) {
                  if (!variant.family().takesAnyK()) {
                    continue;
                  }
                  List<Integer> places = places(group, variant);
                  List<KCurve> curves =
                      Metrics.kCurves(
                          places.stream().map(saes.all()::get).toList(),
                          on.activations(group.on().heldOut(), filter),
                          new KCurve.Options(
                              settings.ks(variant.k(), variant.dSae()),
                              on.config().batchSequences(),
                              settings.rows(),
                              settings.ceTokens(),
                              settings.fakeTokens() == 0
                                  ? Optional.empty()
                                  : Optional.of(fakeByK(on, filter))));
                  for (int i = 0; i < places.size(); i++) {
                    bySae.put(
                        group.names().get(places.get(i)),
                        curves.get(i).points().stream().map(AtK::of).toList());
                  }
                }
              }
              return new ByK(bySae);
            })
        .result()
        .bySae();
  }

  private static List<Integer> places(Trained group, Variant variant) {
    return IntStream.range(0, group.curves().size())
        .filter(i -> group.curves().get(i).variant().equals(variant))
        .boxed()
        .toList();
  }

  private static FakeFeatures.Options fakeByK(StudyContext on, ActivationFilter filter) {
    FakeSettings fake = on.config().fakeFeatures();
    return FakeFeatures.Options.tokens(on.context())
        .noiseTokens(on.config().kCurve().fakeTokens())
        .activationThreshold(fake.activation())
        .rateThreshold(fake.frequency())
        .filter(fake.filter(filter))
        .seed(fake.seed())
        .resamples(1) // curves show no intervals
        .level(on.config().bootstrap().level())
        .build();
  }

  @Override
  public void section(ModelResults results, Html page) {
    List<List<String>> rows = new ArrayList<>();
    for (TrainedSae sae : results.saes()) {
      for (AtK at : sae.byK()) {
        Double fake = at.fakeRatio();
        List<String> row =
            new ArrayList<>(
                List.of(
                    Html.escape(sae.name()),
                    String.valueOf(at.k()) + (at.k() == sae.k() ? " (own)" : "")));
        row.addAll(QualityColumns.cells(at.quality()));
        row.add(fake == null ? ModelSection.MISSING : Format.percent(fake));
        rows.add(row);
      }
    }
    if (!rows.isEmpty()) {
      page.subheading("With other k");
      page.markup("<details><summary>Table: every SAE with each k</summary>");
      page.table(
          "Each SAE as trained, evaluated with another k on held-out text of its own data set.",
          QualityColumns.headings(List.of("SAE", "k"), List.of("FFR")),
          rows);
      page.markup("</details>");
      page.note(
          "The curves are among the plots. The text is shorter than in the first table, so numbers at the SAE's own k differ slightly.");
    }
  }

  @Override
  public Map<String, Drawn> plots(ModelResults results, Plots plots) {
    return new CurvePlots(results, plots).byK();
  }
}
