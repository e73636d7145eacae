package io.faithfulsae.metrics.internal.probe;

import java.util.List;

/** Fits a linear classifier and predicts with it. */
interface Probe {

  /**
   * Fits on the training rows and predicts the test rows.
   *
   * @param width number of elements of a row, stored or not
   * @param classes number of classes
   */
  Predictions fit(
      List<FeatureRow> train, int[] labels, List<FeatureRow> test, int width, int classes);

  /**
   * The predictions of a fitted classifier.
   *
   * @param predicted class of each test example
   * @param cost the chosen C; 0 if the probe has none
   */
  @SuppressWarnings("ArrayRecordComponent") // passed on at once, never compared
  record Predictions(int[] predicted, double cost) {}
}
