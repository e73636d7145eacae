package io.faithfulsae.study;

import java.util.function.Consumer;

/** Settings of studies that tests run: small, and without the measurements that can be left out. */
public final class SmallStudy {
  /** What all of them have. */
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

  /** With two seeds; data sets and the shape of the SAEs are still to be named. */
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

  /** Told the steps, and nothing else. */
  static StudyListener listener(Consumer<String> steps) {
    return new StudyListener() {
      @Override
      public void step(String what) {
        steps.accept(what);
      }
    };
  }
}
