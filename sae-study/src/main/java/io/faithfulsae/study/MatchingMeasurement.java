package io.faithfulsae.study;

import io.faithfulsae.Sae;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.metrics.SharedFeatures.Directions;
import io.faithfulsae.metrics.SharedFeatures.Options;
import io.faithfulsae.study.ModelResults.SeedPair;
import io.faithfulsae.study.StepCache.Step;
import io.faithfulsae.study.Trained.Curve;
import io.faithfulsae.study.Trained.Opened;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Decoder and encoder directions of every pair of seeds, matched: the Shared Feature Ratio. */
final class MatchingMeasurement implements Measurement {

  private record Pairs(List<SeedPair> all) {}

  @Override
  public String name() {
    return "match";
  }

  @Override
  public List<Unit> units(StudyContext on) {
    return Unit.ofSaes(
        on, name(), Cost.NONE, (found, group, step) -> found.pairs.addAll(match(on, group, step)));
  }

  private static List<SeedPair> match(StudyContext on, Trained group, Step step)
      throws IOException {
    double threshold = on.config().sharedFeatures().threshold();
    return step.run(
            List.of(group.key(), group.names(), threshold),
            Pairs.class,
            folder -> {
              List<SeedPair> pairs = new ArrayList<>();
              try (Opened saes = group.open(on.backend())) {
                for (Trained.Pair pair : group.pairs()) {
                  Curve first = group.curves().get(pair.first());
                  Sae a = saes.all().get(pair.first());
                  Sae b = saes.all().get(pair.second());
                  pairs.add(
                      new SeedPair(
                          group.on().name(),
                          first.variant().label(),
                          first.variant().k(),
                          first.name(),
                          group.curves().get(pair.second()).name(),
                          Metrics.sharedFeatures(a, b, new Options(Directions.DECODER, threshold)),
                          Metrics.sharedFeatures(
                              a, b, new Options(Directions.ENCODER, threshold))));
                }
              }
              return new Pairs(pairs);
            })
        .result()
        .all();
  }

  @Override
  public void section(ModelResults results, Html page) {
    if (results.seedPairs().isEmpty()) {
      return;
    }
    page.subheading("Features shared by two seeds");
    List<List<String>> rows = new ArrayList<>();
    for (SeedPair pair : results.seedPairs()) {
      for (var shared : List.of(pair.decoder(), pair.encoder())) {
        rows.add(
            List.of(
                Html.escape(pair.dataSet()),
                Html.escape(pair.variant().isEmpty() ? "k = " + pair.k() : pair.variant()),
                shared.directions().name().toLowerCase(Locale.ROOT),
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
            "SAE",
            "Directions",
            "Matched",
            "Top-1, first in second",
            "Top-1, second in first",
            "Mean cosine, matched",
            "Mean cosine, top-1"),
        rows);
  }
}
