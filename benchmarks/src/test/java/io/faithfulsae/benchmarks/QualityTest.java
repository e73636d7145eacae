package io.faithfulsae.benchmarks;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.Backends;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class QualityTest {
  private static final QualitySize SIZE = QualitySize.parse("12x8x24x32x40x2x500");

  @TempDir Path dir;

  @Test
  void bothSidesAreMeasuredAlike() throws Exception {
    Quality quality = new Quality(dir, SIZE);
    quality.prepare();
    quality.train();
    copyOursAsTheirs();
    quality.evaluate();

    JsonNode results = read("quality.json").path("results");
    int runs = QualityCase.all(SIZE).size() * SIZE.seeds();
    assertEquals(2 * runs, results.size());
    for (JsonNode ours : results) {
      for (JsonNode theirs : results) {
        boolean pair =
            List.of("peer", "family", "seed").stream()
                .allMatch(key -> ours.path(key).equals(theirs.path(key)));
        if (pair) { // the same SAE, found in both places
          for (String key : List.of("found", "mean_max_cosine", "fvu", "l0", "dead")) {
            assertEquals(ours.path(key), theirs.path(key), key + " of " + ours);
          }
        }
      }
      assertTrue(ours.path("fvu").asDouble() > 0 && ours.path("fvu").asDouble() < 5, ours + "");
      assertTrue(ours.path("mean_max_cosine").asDouble() > 0.3, ours + "");
    }
    assertNotEquals( // seeds differ
        results.get(0).path("fvu"), results.get(1).path("fvu"));
  }

  /** Stands in for the peers: folders where their trainers write. */
  private void copyOursAsTheirs() throws IOException {
    for (QualityCase one : QualityCase.all(SIZE)) {
      for (int seed = 1; seed <= SIZE.seeds(); seed++) {
        Path from = dir.resolve("ours/" + one.name() + "-" + seed);
        Path to = dir.resolve("theirs/" + one.name() + "-" + seed);
        if (one.peer().equals("dictionary_learning")) {
          to = to.resolve("trainer_0");
        }
        Files.createDirectories(to);
        for (String file : List.of("cfg.json", "sae_weights.safetensors")) {
          Files.copy(from.resolve(file), to.resolve(file));
        }
      }
    }
  }

  @Test
  void rowsOnDiskAreThoseOfTheRecipeInOrder() throws IOException {
    new Quality(dir, SIZE).prepare();
    try (Backend backend = Backends.open("cpu")) {
      assertArrayEquals(
          rows(SIZE.trainingRows(), backend),
          rows(ActivationSources.ofShards(dir.resolve("rows")), backend));
    }
  }

  private static float[] rows(ActivationSource source, Backend backend) throws IOException {
    int count = Math.toIntExact(SIZE.rows());
    try (ActivationBatch batch = ActivationBatch.allocate(backend, count, source.dIn());
        ActivationReader reader = source.open(0)) {
      while (batch.rows() < count) {
        assertTrue(reader.read(batch) > 0);
      }
      float[] values = new float[count * source.dIn()];
      batch.data().get(0, values);
      return values;
    }
  }

  @Test
  void settingsOfBothSidesAreTheSame() {
    for (QualityCase one : QualityCase.all(SIZE)) {
      assertEquals(one.theirs().get("lr"), one.ours().lr(), one.name());
      assertEquals(
          one.theirs().get("warmup_steps"), (int) one.ours().schedule().warmupSteps(), one.name());
      assertEquals(SIZE.steps(), one.ours().steps(), one.name());
      if (one.theirs().containsKey("k")) {
        assertEquals(one.theirs().get("k"), one.sae().k(), one.name());
      }
      for (String coefficient : List.of("l1_coefficient", "l0_coefficient", "l1_penalty")) {
        if (one.theirs().containsKey(coefficient)) {
          assertEquals(
              one.theirs().get(coefficient),
              one.ours().step().sparsity().coefficient(),
              one.name());
        }
      }
    }
  }

  @Test
  void aMissingSaeIsAnError() throws Exception {
    Quality quality = new Quality(dir, SIZE);
    quality.prepare();
    quality.train();
    assertThrows(IOException.class, quality::evaluate);
  }

  private JsonNode read(String name) throws IOException {
    return new ObjectMapper().readTree(dir.resolve(name).toFile());
  }
}
