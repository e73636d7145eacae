package io.faithfulsae.study;

import io.faithfulsae.TokenSource;

/**
 * A data set with its parts.
 *
 * @param key of the step that made it
 * @param training what SAEs are trained on
 * @param heldOut what they are judged on
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
