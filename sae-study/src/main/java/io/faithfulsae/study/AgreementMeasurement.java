package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.Sae;
import io.faithfulsae.metrics.LatentCorrelations;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.metrics.SharedFeatures.Directions;
import io.faithfulsae.metrics.SharedFeatures.Neurons;
import io.faithfulsae.metrics.SharedFeatures.Options;
import io.faithfulsae.study.CurveResults.SeedAgreement;
import io.faithfulsae.study.StepCache.Step;
import io.faithfulsae.study.Trained.Curve;
import io.faithfulsae.study.Trained.Opened;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * Pairs of seeds compared by more than decoder directions: both matchings together, neurons, and
 * what the latents do.
 */
final class AgreementMeasurement implements Measurement {

  private record Agreements(List<SeedAgreement> all) {}

  @Override
  public String name() {
    return "seed-agreement";
  }

  @Override
  public List<Unit> units(StudyContext on) {
    long rows = on.config().seedAgreement().rows();
    if (rows == 0) {
      return List.of();
    }
    long seeds = on.config().seeds().size();
    long pairs = on.grid().variants().size() * seeds * (seeds - 1) / 2;
    return Unit.ofSaes(
        on,
        name(),
        Cost.ofModel(pairs * rows, 0),
        (found, group, step) -> found.agreements.addAll(measure(on, group, found.filter(), step)));
  }

  private static List<SeedAgreement> measure(
      StudyContext on, Trained group, ActivationFilter filter, Step step) throws IOException {
    double threshold = on.config().sharedFeatures().threshold();
    return step.run(
            List.of(on.inputs(group, filter), on.config().seedAgreement(), threshold),
            Agreements.class,
            folder -> {
              List<SeedAgreement> all = new ArrayList<>();
              try (Opened saes = group.open(on.backend())) {
                for (Trained.Pair pair : group.pairs()) {
                  Sae a = saes.all().get(pair.first());
                  Sae b = saes.all().get(pair.second());
                  Curve first = group.curves().get(pair.first());
                  all.add(
                      new SeedAgreement(
                          group.on().name(),
                          first.variant().label(),
                          first.variant().k(),
                          first.name(),
                          group.curves().get(pair.second()).name(),
                          Metrics.matchingAgreement(a, b, threshold),
                          Metrics.sharedNeurons(a, b, new Options(Directions.DECODER, threshold)),
                          Metrics.sharedNeurons(a, b, new Options(Directions.ENCODER, threshold)),
                          Metrics.latentCorrelations(
                              a,
                              b,
                              on.source(group.on().heldOut(), filter),
                              new LatentCorrelations.Options(
                                  on.config().seedAgreement().rows(), threshold, List.of(), 0))));
                }
              }
              return new Agreements(all);
            })
        .result()
        .all();
  }

  @Override
  public void section(ModelResults results, Html page) {
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
}
