package io.faithfulsae.study;

import io.faithfulsae.TokenSource;

/**
 * A data set with its parts.
 *
 * @param key of the step that created it
 * @param training what SAEs are trained on
 * @param heldOut what they are evaluated on
 */
record Texts(
    StudyConfig.DataSet settings,
    StudyData.Prepared prepared,
    String key,
    TokenSource training,
    TokenSource heldOut) {
  String name() {
    return settings.name();
  }
}
