package io.faithfulsae.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.study.SmallStudy;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code sae compare} reads what {@code sae study} wrote. */
final class CompareStudyTest {
  private static final String STUDY =
      SmallStudy.SETTINGS
          + """
      dataSets:
        - {name: faithful, generate: {tokens: 1500, maxLength: 64, seed: 3}}
        - {name: outside, file: embedded, tokens: 1500}
      sae: {dSae: 24, k: 4}
      training: {tokens: 1000, batch: 200, bufferRows: 1000, warmupSteps: 0, decaySteps: 0}
      evaluation: {rows: 100, ceTokens: 60}
      fakeFeatures: {tokens: 300, textSequences: 3}
      samples: 0
      models:
        first: {}
        second: {hook: blocks.1.hook_resid_pre}
      """;

  @TempDir Path dir;

  @Test
  void resultsOfAStudyAreCompared() throws IOException {
    Path config = Files.writeString(dir.resolve("study.yaml"), STUDY);
    Path out = dir.resolve("out");
    Tiny.sae("study", "--config", config, "--out", out).ok();
    Path compared = dir.resolve("compared.json");
    Tiny.Ran ran = Tiny.sae("compare", out.resolve("results.json"), "--out", compared).ok();
    assertTrue(ran.out().contains("2 models: first, second"), ran.out());
    assertTrue(ran.out().contains("faithful − outside"), ran.out());
    assertTrue(ran.out().contains("2 cells: too few for these tests"), ran.out());
    JsonNode measures = new JsonMapper().readTree(compared.toFile()).path("measures");
    assertEquals("avg_fake_feature_ratio", measures.get(0).path("name").asText());
    JsonNode pair = measures.get(0).path("pairs").get(0);
    assertEquals(2, pair.path("cells").asInt());
    assertTrue(pair.path("bootstrapPHolm").asDouble() >= pair.path("bootstrapP").asDouble());
    Tiny.Ran bySeed =
        Tiny.sae(
                "compare",
                out.resolve("results.json"),
                "--by-seed",
                "--out",
                compared,
                "--overwrite")
            .ok();
    assertTrue(bySeed.out().contains("seed 42"), bySeed.out());
    assertEquals(
        4, new JsonMapper().readTree(compared.toFile()).at("/measures/0/pairs/0/cells").asInt());

    Path changed = dir.resolve("changed.json");
    String results = Files.readString(out.resolve("results.json"));
    Files.writeString(changed, results.replaceFirst("\"ratio\" : [0-9.]+", "\"ratio\" : 0.5"));
    Tiny.Ran rejected = Tiny.sae("compare", changed, "--out", dir.resolve("no.json"));
    assertEquals(1, rejected.code());
    assertTrue(
        rejected.err().contains("changed.json: checksum: expected checksum"), rejected.err());
  }
}
