package io.faithfulsae.study;

import java.util.List;

/**
 * All that a study has found, written as {@code results.json}: the same inputs give the same file,
 * byte for byte.
 *
 * @param format name and version of this schema
 * @param provenance what made it
 * @param models what was found for each model
 */
public record StudyResults(String format, Provenance provenance, List<ModelResults> models) {

  /** The value of {@link #format}. */
  public static final String FORMAT = "faithfulsae-study-2";

  /** Copies the list. */
  public StudyResults {
    models = List.copyOf(models);
  }

  /** How many parts failed. */
  public int failures() {
    return models.stream().mapToInt(model -> model.failures().size()).sum();
  }
}
