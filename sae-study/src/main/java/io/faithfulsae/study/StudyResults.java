package io.faithfulsae.study;

import io.faithfulsae.study.provenance.Provenance;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * All that a study has found, written as {@code results.json}: the same inputs give the same file,
 * byte for byte.
 *
 * @param format name and version of this schema
 * @param provenance what made it
 * @param models what was found for each model
 * @param checksum of all else, by which a changed file is known; null until it is written
 */
public record StudyResults(
    String format, Provenance provenance, List<ModelResults> models, @Nullable String checksum) {

  /** The value of {@link #format}. */
  public static final String FORMAT = "faithfulsae-study-3";

  /** Name of the file that describes results. */
  static final String SCHEMA = "results.schema.json";

  /** JSON Schema of results. */
  static String schema() throws IOException {
    try (InputStream in = StudyResults.class.getResourceAsStream(SCHEMA)) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  /** Copies the list. */
  public StudyResults {
    models = List.copyOf(models);
  }

  /** How many parts failed. */
  public int failures() {
    return models.stream().mapToInt(model -> model.failures().size()).sum();
  }
}
