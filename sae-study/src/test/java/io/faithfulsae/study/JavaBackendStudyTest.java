package io.faithfulsae.study;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.Backends;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.provenance.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A study without native code for SAEs finds what it finds with it. */
@Tag("slow")
final class JavaBackendStudyTest {
  @TempDir Path dir;

  @Test
  void aStudyGivesTheSameResultsOnTheJavaBackend() throws IOException {
    Path file =
        Files.writeString(
            dir.resolve("study.yaml"),
            SmallStudy.TWO_SEEDS
                + "dataSets: [{name: plays, file: embedded, tokens: 2000}]\n"
                + "sae: {dSae: 48, k: 6}\n");
    JsonNode java = run(file, "java");
    JsonNode cpu = run(file, "cpu");
    assertEquals(2, java.size());
    for (String name : List.of("fvu", "explainedVariance", "l0", "cosine")) {
      List<JsonNode> got = java.findValues(name);
      List<JsonNode> expected = cpu.findValues(name);
      assertTrue(got.size() >= 2, name + ": " + got);
      assertEquals(expected.size(), got.size(), name);
      for (int i = 0; i < got.size(); i++) {
        double value = expected.get(i).asDouble(Double.NaN);
        assertEquals(value, got.get(i).asDouble(), 1e-3 * Math.abs(value), name); // of rounding
      }
    }
  }

  private JsonNode run(Path file, String name) throws IOException {
    try (Backend backend = Backends.open(name)) {
      Study.Outcome outcome =
          Study.run(
              StudyFile.read(file), dir.resolve(name), backend, SmallStudy.listener(step -> {}));
      assertEquals(List.of(), outcome.failures());
      return Json.mapper().readTree(outcome.results().toFile()).path("models").get(0).path("saes");
    }
  }
}
