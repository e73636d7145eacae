package io.faithfulsae.study.compare;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.io.Mutations;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.study.tasks.ProbingRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Results that were changed after measurement are not compared. */
final class DamagedResultsTest {
  @TempDir Path dir;

  @Test
  void aDamagedFileIsNotBelieved() throws IOException {
    Path file = dir.resolve("results.json");
    Files.writeString(
        file, Json.pretty(ResultFile.signed(List.of(run("a", 0.71), run("b", 0.125)))));
    assertTrue(
        Mutations.check(file, 1000, 29, Integer.MAX_VALUE, () -> ResultFile.read(file)) > 500);
    Files.writeString(file, Files.readString(file).replace("0.125", "0.225"));
    String said = assertThrows(SaeFormatException.class, () -> ResultFile.read(file)).getMessage();
    assertTrue(said.contains("results.json: run 1: expected checksum "), said);
  }

  private static ProbingRun run(String dataSet, double accuracy) {
    RunFields fields =
        new RunFields("m", "blocks.1", 64, 4, null, 1e-3, List.of(1L, 2L), dataSet, 128, 9L);
    return new ProbingRun(fields, Map.of("task", Map.of("sae_acc", accuracy, "sae_f1", 0.5)));
  }
}
