package io.faithfulsae.study;

import java.util.List;
import java.util.stream.Stream;

/** All measurements of a study, in the order in which they are made and reported. */
final class Measurements {
  /** Of the data sets; the report shows them last. */
  static final List<Measurement> OF_TEXTS = List.of(new TextSteps(), new CheckMeasurement());

  /** Of the trained SAEs. */
  static final List<Measurement> OF_SAES =
      List.of(
          new CrossDataMeasurement(),
          new CommonTextMeasurement(),
          new MatchingMeasurement(),
          new AgreementMeasurement(),
          new FakeFeatureMeasurement(),
          new FakeVariantMeasurement(),
          new KCurveMeasurement(),
          new SubsetMeasurement(),
          new ProbingMeasurement());

  /** Everything that a study does for a model, each after what it needs. */
  static final List<Measurement> ALL =
      Stream.of(OF_TEXTS, List.<Measurement>of(new TrainStep()), OF_SAES)
          .flatMap(List::stream)
          .toList();

  private Measurements() {}
}
