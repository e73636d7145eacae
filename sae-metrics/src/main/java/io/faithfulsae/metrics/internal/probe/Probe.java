package io.faithfulsae.metrics.internal.probe;

import java.util.List;

/** A way to fit a linear classifier. */
interface Probe {

  /**
   * Fits and answers.
   *
   * @param width elements of a vector
   * @param classes number of classes
   */
  Answers fit(List<FeatureRow> train, int[] labels, List<FeatureRow> test, int width, int classes);

  /**
   * What the fitted classifier says.
   *
   * @param predicted class of each test example
   * @param cost the chosen C; 0 where there is none
   */
  @SuppressWarnings("ArrayRecordComponent") // passed on at once, never compared
  record Answers(int[] predicted, double cost) {}
}
