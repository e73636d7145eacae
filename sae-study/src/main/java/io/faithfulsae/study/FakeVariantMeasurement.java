package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.study.ModelResults.Fake;
import io.faithfulsae.study.StepCache.Step;
import io.faithfulsae.study.Trained.Opened;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Fake features by the other definitions: over sequences, and relative to each latent's own mean.
 * {@link FakeFeatureMeasurement} reports them next to the first definition.
 */
final class FakeVariantMeasurement implements Measurement {
  /** Name of the sequences definition in results. */
  static final String SEQUENCES = "sequences";

  /** Name in results of the tokens definition with thresholds relative to each latent's mean. */
  static final String RELATIVE = "relative";

  private record Variants(Map<String, Map<String, Fake>> bySae) {}

  @Override
  public String name() {
    return "fake-variants";
  }

  @Override
  public List<Unit> units(StudyContext on) {
    int sequences = on.config().fakeVariants().sequences();
    if (sequences == 0) {
      return List.of();
    }
    // Noise for both; text for both, and once more for each latent's own mean.
    Cost cost = Cost.ofModel(5L * sequences * on.context(), 0);
    return Unit.ofSaes(
        on,
        name(),
        cost,
        (found, group, step) ->
            found.fakeVariants.putAll(measure(on, group, found.filter(), step)));
  }

  private static Map<String, Map<String, Fake>> measure(
      StudyContext on, Trained group, ActivationFilter filter, Step step) throws IOException {
    StudyConfig.FakeVariants settings = on.config().fakeVariants();
    return step.run(
            List.of(
                on.inputs(group, filter),
                settings,
                on.config().fakeFeatures(),
                on.config().bootstrap(),
                on.context()),
            Variants.class,
            folder -> {
              FakeFeatures.Options sequences =
                  options(
                          on,
                          filter,
                          FakeFeatures.Options.sequences(on.context(), group.on().heldOut()))
                      .noiseSequences(settings.sequences())
                      .activationThreshold(settings.activation())
                      .rateThreshold(settings.frequency())
                      .text(group.on().heldOut(), settings.sequences())
                      .build();
              FakeFeatures.Options relative =
                  options(on, filter, FakeFeatures.Options.tokens(on.context()))
                      .noiseSequences(settings.sequences())
                      .text(group.on().heldOut(), settings.sequences())
                      .relativeThreshold(settings.relativeActivation())
                      .rateThreshold(on.config().fakeFeatures().frequency())
                      .build();
              Map<String, Map<String, Fake>> bySae = new LinkedHashMap<>();
              try (Opened saes = group.open(on.backend())) {
                List<FakeFeatures> first = Metrics.fakeFeatures(saes.all(), on.hooked(), sequences);
                List<FakeFeatures> second = Metrics.fakeFeatures(saes.all(), on.hooked(), relative);
                for (int i = 0; i < first.size(); i++) {
                  bySae.put(
                      group.names().get(i),
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

  private static FakeFeatures.Options.Builder options(
      StudyContext on, ActivationFilter filter, FakeFeatures.Options.Builder builder) {
    return builder
        .filter(on.config().fakeFeatures().filter(filter))
        .seed(on.config().fakeFeatures().seed())
        .resamples(on.config().bootstrap().resamples())
        .level(on.config().bootstrap().level());
  }
}
