package io.faithfulsae.study;

import io.faithfulsae.study.provenance.Provenance;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * All results of a study, written as {@code results.json}: the same inputs give the same file, byte
 * for byte.
 *
 * @param format name and version of this schema
 * @param provenance what produced the results
 * @param models results for each model
 * @param checksum of everything else, to detect changes; null until it is written
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

  /** The number of parts that failed. */
  public int failures() {
    return models.stream().mapToInt(model -> model.failures().size()).sum();
  }
}
