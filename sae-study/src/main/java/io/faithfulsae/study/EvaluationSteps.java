package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.Sae;
import io.faithfulsae.TokenSource;
import io.faithfulsae.metrics.CrossEntropy;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.metrics.Reconstruction;
import io.faithfulsae.metrics.SharedFeatures.Directions;
import io.faithfulsae.metrics.SharedFeatures.Options;
import io.faithfulsae.study.ModelResults.Evaluation;
import io.faithfulsae.study.ModelResults.Fake;
import io.faithfulsae.study.ModelResults.SeedPair;
import io.faithfulsae.study.Trained.Curve;
import io.faithfulsae.study.Trained.Opened;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Steps that evaluate the SAEs of one data set: on text, on noise, and across seeds. */
final class EvaluationSteps {
  private final StudyContext on;
  private final ActivationFilter filter;

  private record Pairs(List<SeedPair> all) {}

  private record Evaluations(Map<String, Evaluation> bySae) {}

  /** With the resamples, which comparing data sets needs and results omit. */
  record KeptFake(Fake fake, FakeFeatures.Resamples resamples) {}

  private record Fakes(Map<String, KeptFake> bySae) {}

  /**
   * Creates the steps.
   *
   * @param filter what training left out
   */
  EvaluationSteps(StudyContext on, ActivationFilter filter) {
    this.on = on;
    this.filter = filter;
  }

  /** Evaluates on a data set's held-out text. */
  Map<String, Evaluation> evaluate(Trained group, Texts text) throws IOException {
    return evaluate(
        "evaluate-" + group.on().name() + "-on-" + text.name(),
        group,
        List.of(text.key()),
        text.heldOut());
  }

  /** Evaluates on the text common to all SAEs. */
  Map<String, Evaluation> onCommonText(Trained group, CommonTokens text) throws IOException {
    return evaluate("common-text-" + group.on().name(), group, text.keys(), text.tokens());
  }

  private Map<String, Evaluation> evaluate(
      String step, Trained group, List<String> textKeys, TokenSource text) throws IOException {
    StudyConfig.Evaluation settings = on.config().evaluation();
    return on.steps()
        .run(
            step,
            List.of(
                group.key(),
                names(group),
                textKeys,
                filter.toString(),
                settings.rows(),
                settings.ceTokens(),
                on.config().bootstrap(),
                on.config().batchSequences()),
            Evaluations.class,
            folder -> {
              try (Opened saes = group.open(on.backend())) {
                List<Reconstruction> reconstructions =
                    Metrics.reconstruction(saes.all(), on.source(text, filter), settings.rows());
                List<CrossEntropy> costs =
                    Metrics.crossEntropy(
                        saes.all(), on.activations(text, filter), settings.ceTokens());
                Map<String, Evaluation> bySae = new LinkedHashMap<>();
                for (int i = 0; i < reconstructions.size(); i++) {
                  bySae.put(
                      group.curves().get(i).name(),
                      new Evaluation(reconstructions.get(i), costs.get(i)));
                }
                return new Evaluations(bySae);
              }
            })
        .result()
        .bySae();
  }

  /** Matches decoder and encoder directions of every pair of seeds. */
  List<SeedPair> match(Trained group) throws IOException {
    double threshold = on.config().sharedFeatures().threshold();
    return on.steps()
        .run(
            "match-" + group.on().name(),
            List.of(group.key(), names(group), threshold),
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

  /** Finds the latents that fire on noise. */
  Map<String, KeptFake> fakeFeatures(Trained group) throws IOException {
    ActivationFilter noise = on.config().fakeFeatures().filter(filter);
    return on.steps()
        .run(
            "fake-features-" + group.on().name(),
            List.of(
                group.key(),
                names(group),
                noise.toString(),
                on.config().fakeFeatures(),
                on.config().bootstrap(),
                on.context()),
            Fakes.class,
            folder -> {
              try (Opened saes = group.open(on.backend())) {
                List<FakeFeatures> found =
                    Metrics.fakeFeatures(saes.all(), on.hooked(), options(group.on(), noise));
                Map<String, KeptFake> bySae = new LinkedHashMap<>();
                for (int i = 0; i < found.size(); i++) {
                  bySae.put(
                      group.curves().get(i).name(),
                      new KeptFake(Fake.of(found.get(i)), found.get(i).resamples()));
                }
                return new Fakes(bySae);
              }
            })
        .result()
        .bySae();
  }

  private FakeFeatures.Options options(Texts text, ActivationFilter noise) {
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

  /** Names of an entry's own SAEs, since a training may serve several entries. */
  static List<String> names(Trained group) {
    return group.curves().stream().map(Curve::name).toList();
  }
}
