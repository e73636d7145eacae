package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.Sae;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.FeatureSubsets;
import io.faithfulsae.metrics.KCurve;
import io.faithfulsae.metrics.LatentCorrelations;
import io.faithfulsae.metrics.LatentStatistics;
import io.faithfulsae.metrics.LatentStatistics.Criterion;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.metrics.SharedFeatures.Directions;
import io.faithfulsae.metrics.SharedFeatures.Options;
import io.faithfulsae.study.CurveResults.AtK;
import io.faithfulsae.study.CurveResults.SeedAgreement;
import io.faithfulsae.study.CurveResults.Subsets;
import io.faithfulsae.study.ModelResults.Fake;
import io.faithfulsae.study.Trained.Curve;
import io.faithfulsae.study.Trained.Opened;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * Steps that take a closer look at the SAEs of one data set: other k, subsets of latents, other
 * definitions of a fake feature, and seeds compared by more than decoder directions. The settings
 * can turn each off.
 */
final class CurveSteps {
  /** Name of the sequences definition in results. */
  static final String SEQUENCES = "sequences";

  /** Name in results of the tokens definition with thresholds relative to each latent's mean. */
  static final String RELATIVE = "relative";

  private final StudyContext on;
  private final StudyConfig config;
  private final ActivationFilter filter;

  private record ByK(Map<String, List<AtK>> bySae) {}

  private record BySubset(Map<String, List<Subsets>> bySae) {}

  private record Variants(Map<String, Map<String, Fake>> bySae) {}

  private record Agreements(List<SeedAgreement> all) {}

  CurveSteps(StudyContext on, ActivationFilter filter) {
    this.on = on;
    this.config = on.config();
    this.filter = filter;
  }

  /** Number of steps per data set that the settings enable. */
  static int countPerDataSet(StudyConfig config) {
    return (config.kCurve().multiples().isEmpty() ? 0 : 1)
        + (config.featureSubsets().rankBy().isEmpty() ? 0 : 1)
        + (config.fakeVariants().sequences() == 0 ? 0 : 1)
        + (config.seedAgreement().rows() == 0 ? 0 : 1);
  }

  /** Evaluates each SAE with other k. */
  Map<String, List<AtK>> byK(Trained group) throws IOException {
    StudyConfig.ByK settings = config.kCurve();
    if (settings.multiples().isEmpty()) {
      return Map.of();
    }
    return on.steps()
        .run(
            "k-curve-" + group.on().name(),
            List.of(
                inputs(group), settings, config.fakeFeatures(), config.bootstrap(), on.context()),
            ByK.class,
            folder -> {
              Map<String, List<AtK>> bySae = new LinkedHashMap<>();
              try (Opened saes = group.open(on.backend())) {
                for (Variant variant : on.grid().variants()) {
                  List<Integer> places = places(group, variant);
                  List<KCurve> curves =
                      Metrics.kCurves(
                          places.stream().map(saes.all()::get).toList(),
                          on.activations(group.on().heldOut(), filter),
                          new KCurve.Options(
                              settings.ks(variant.k(), variant.dSae()),
                              config.batchSequences(),
                              settings.rows(),
                              settings.ceTokens(),
                              settings.fakeTokens() == 0
                                  ? Optional.empty()
                                  : Optional.of(fakeByK())));
                  for (int i = 0; i < places.size(); i++) {
                    bySae.put(
                        group.curves().get(places.get(i)).name(),
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

  private FakeFeatures.Options fakeByK() {
    FakeSettings fake = config.fakeFeatures();
    return FakeFeatures.Options.tokens(on.context())
        .noiseTokens(config.kCurve().fakeTokens())
        .activationThreshold(fake.activation())
        .rateThreshold(fake.frequency())
        .filter(fake.filter(filter))
        .seed(fake.seed())
        .resamples(1) // curves show no intervals
        .level(config.bootstrap().level())
        .build();
  }

  /** Evaluates each SAE with subsets of its latents, ranked on text that it was trained on. */
  Map<String, List<Subsets>> bySubset(Trained group) throws IOException {
    StudyConfig.Subsets settings = config.featureSubsets();
    if (settings.rankBy().isEmpty()) {
      return Map.of();
    }
    return on.steps()
        .run(
            "subsets-" + group.on().name(),
            List.of(inputs(group), settings),
            BySubset.class,
            folder -> {
              Map<String, List<Subsets>> bySae = new LinkedHashMap<>();
              try (Opened saes = group.open(on.backend())) {
                List<LatentStatistics> statistics =
                    Metrics.latentStatistics(
                        saes.all(),
                        on.source(group.on().training(), filter),
                        settings.rankingRows());
                for (int i = 0; i < saes.all().size(); i++) {
                  bySae.put(
                      group.curves().get(i).name(),
                      subsets(saes.all().get(i), statistics.get(i), group.on()));
                }
              }
              return new BySubset(bySae);
            })
        .result()
        .bySae();
  }

  private List<Subsets> subsets(Sae sae, LatentStatistics statistics, Texts text)
      throws IOException {
    StudyConfig.Subsets settings = config.featureSubsets();
    List<List<Integer>> rankings = settings.rankBy().stream().map(statistics::ranking).toList();
    int ranked = rankings.get(0).size(); // the same latents for each criterion
    List<FeatureSubsets> measured =
        Metrics.featureSubsets(
            sae,
            rankings,
            on.activations(text.heldOut(), filter),
            new FeatureSubsets.Options(
                settings.shares().stream().map(s -> (int) Math.round(s * ranked)).toList(),
                config.batchSequences(),
                settings.rows(),
                settings.ceTokens()));
    List<Subsets> all = new ArrayList<>();
    for (int i = 0; i < measured.size(); i++) {
      Criterion by = settings.rankBy().get(i);
      all.add(Subsets.of(by, measured.get(i)));
    }
    return all;
  }

  /** Fake features by the other definitions; for each SAE, by the name of the definition. */
  Map<String, Map<String, Fake>> fakeVariants(Trained group) throws IOException {
    StudyConfig.FakeVariants settings = config.fakeVariants();
    if (settings.sequences() == 0) {
      return Map.of();
    }
    return on.steps()
        .run(
            "fake-variants-" + group.on().name(),
            List.of(
                inputs(group), settings, config.fakeFeatures(), config.bootstrap(), on.context()),
            Variants.class,
            folder -> {
              FakeFeatures.Options sequences =
                  options(FakeFeatures.Options.sequences(on.context(), group.on().heldOut()))
                      .noiseSequences(settings.sequences())
                      .activationThreshold(settings.activation())
                      .rateThreshold(settings.frequency())
                      .text(group.on().heldOut(), settings.sequences())
                      .build();
              FakeFeatures.Options relative =
                  options(FakeFeatures.Options.tokens(on.context()))
                      .noiseSequences(settings.sequences())
                      .text(group.on().heldOut(), settings.sequences())
                      .relativeThreshold(settings.relativeActivation())
                      .rateThreshold(config.fakeFeatures().frequency())
                      .build();
              Map<String, Map<String, Fake>> bySae = new LinkedHashMap<>();
              try (Opened saes = group.open(on.backend())) {
                List<FakeFeatures> first = Metrics.fakeFeatures(saes.all(), on.hooked(), sequences);
                List<FakeFeatures> second = Metrics.fakeFeatures(saes.all(), on.hooked(), relative);
                for (int i = 0; i < first.size(); i++) {
                  bySae.put(
                      group.curves().get(i).name(),
                      Map.of(
                          SEQUENCES,
                          Fake.variant(first.get(i)),
                          RELATIVE,
                          Fake.variant(second.get(i))));
                }
              }
              return new Variants(bySae);
            })
        .result()
        .bySae();
  }

  private FakeFeatures.Options.Builder options(FakeFeatures.Options.Builder builder) {
    return builder
        .filter(config.fakeFeatures().filter(filter))
        .seed(config.fakeFeatures().seed())
        .resamples(config.bootstrap().resamples())
        .level(config.bootstrap().level());
  }

  /** Compares pairs of seeds. */
  List<SeedAgreement> agreements(Trained group) throws IOException {
    StudyConfig.Agreement settings = config.seedAgreement();
    if (settings.rows() == 0) {
      return List.of();
    }
    double threshold = config.sharedFeatures().threshold();
    return on.steps()
        .run(
            "seed-agreement-" + group.on().name(),
            List.of(inputs(group), settings, threshold),
            Agreements.class,
            folder -> {
              List<SeedAgreement> all = new ArrayList<>();
              try (Opened saes = group.open(on.backend())) {
                for (Trained.Pair pair : group.pairs()) {
                  all.add(
                      agreement(
                          group.on(),
                          group.curves().get(pair.first()),
                          group.curves().get(pair.second()),
                          saes.all().get(pair.first()),
                          saes.all().get(pair.second()),
                          threshold));
                }
              }
              return new Agreements(all);
            })
        .result()
        .all();
  }

  private SeedAgreement agreement(
      Texts text, Curve first, Curve second, Sae a, Sae b, double threshold) throws IOException {
    return new SeedAgreement(
        text.name(),
        first.variant().label(),
        first.variant().k(),
        first.name(),
        second.name(),
        Metrics.matchingAgreement(a, b, threshold),
        Metrics.sharedNeurons(a, b, new Options(Directions.DECODER, threshold)),
        Metrics.sharedNeurons(a, b, new Options(Directions.ENCODER, threshold)),
        Metrics.latentCorrelations(
            a,
            b,
            on.source(text.heldOut(), filter),
            new LatentCorrelations.Options(
                config.seedAgreement().rows(), threshold, List.of(), 0)));
  }

  private List<Object> inputs(Trained group) {
    return List.of(
        group.key(), EvaluationSteps.names(group), filter.toString(), config.batchSequences());
  }
}
