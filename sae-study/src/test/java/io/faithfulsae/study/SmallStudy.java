package io.faithfulsae.study;

import java.util.function.Consumer;

/** Settings of small studies for tests, without the optional measurements. */
public final class SmallStudy {
  /** Shared by all of them. */
  public static final String SETTINGS =
      """
      context: 32
      batchSequences: 8
      fakeVariants: {sequences: 0}
      kCurve: {multiples: []}
      featureSubsets: {rankBy: []}
      seedAgreement: {rows: 0}
      bootstrap: {resamples: 50}
      """;

  /** With two seeds; data sets and the shape of the SAEs must be added. */
  static final String TWO_SEEDS =
      SETTINGS
          + """
          seeds: [1, 2]
          training: {tokens: 2000, batch: 200, bufferRows: 1000, warmupSteps: 0, decaySteps: 0}
          evaluation: {rows: 200, ceTokens: 100}
          fakeFeatures: {tokens: 300, textSequences: 3}
          samples: 1
          """;

  private SmallStudy() {}

  /** Receives the steps only. */
  static StudyListener listener(Consumer<String> steps) {
    return new StudyListener() {
      @Override
      public void step(String what) {
        steps.accept(what);
      }
    };
  }
}
