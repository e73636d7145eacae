package io.faithfulsae.study;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The authors' settings from one line, for the models that they used. */
final class AuthorsPresetTest {
  /** The authors' table: config.json, hook, d_sae, k, lr, context, batch, last step. */
  private static final String[][] TABLE = {
    {"gpt2,n_layer=12,n_embd=768", "8", "12288", "16", "3e-4", "128", "4096", "24413"},
    {
      "gpt_neox,num_hidden_layers=24,hidden_size=2048",
      "18",
      "14336",
      "48",
      "2e-4",
      "512",
      "512",
      "140185"
    },
    {
      "gpt_neox,num_hidden_layers=32,hidden_size=2560",
      "24",
      "15360",
      "64",
      "1e-4",
      "512",
      "512",
      "156793"
    },
    {
      "llama,num_hidden_layers=16,hidden_size=2048,vocab_size=128256",
      "12",
      "14336",
      "48",
      "2e-4",
      "512",
      "512",
      "195311"
    },
    {
      "llama,num_hidden_layers=28,hidden_size=3072,vocab_size=128256",
      "21",
      "18432",
      "64",
      "1e-4",
      "512",
      "512",
      "195311"
    },
    {
      "llama,num_hidden_layers=32,hidden_size=4096,vocab_size=128256",
      "24",
      "16384",
      "80",
      "6e-5",
      "512",
      "512",
      "292967"
    },
    {
      "gemma2,num_hidden_layers=26,hidden_size=2304",
      "20",
      "18432",
      "64",
      "3e-4",
      "1024",
      "10240",
      "9764"
    },
  };

  @TempDir Path dir;

  @Test
  void eachModelHasItsRow() throws IOException {
    for (String[] row : TABLE) {
      StudyConfig study = read("preset: authors\nmodel: " + model(row[0]) + "\n");
      assertEquals("blocks.%s.hook_resid_pre".formatted(row[1]), study.hook());
      assertEquals(List.of(Integer.valueOf(row[2])), study.sae().dSae());
      assertEquals(List.of(Integer.valueOf(row[3])), study.sae().k());
      assertEquals(List.of(Double.valueOf(row[4])), study.training().lr());
      assertEquals(Integer.parseInt(row[5]), study.context());
      assertEquals(Integer.parseInt(row[6]), study.training().batch());
      // Their last step is floor(tokens / batch) - 1.
      assertEquals(
          Long.parseLong(row[7]), study.training().tokens() / study.training().batch() - 1, row[0]);
      assertEquals(List.of(42L, 49L), study.seeds());
      assertEquals(List.of(Recipe.FAITHFULSAE), study.training().preset());
      assertEquals(0L, study.training().warmupSteps());
      assertEquals(0L, study.training().decaySteps());
      assertEquals(0, study.filter().skipPositions());
      assertTrue(!study.filter().skipBos());
      assertNull(study.filter().normMultiple());
      assertEquals(1_000_000, study.fakeFeatures().tokens());
      assertEquals(0.1, study.fakeFeatures().frequency());
    }
  }

  @Test
  void fileHasTheLastWordAndEntriesTheirOwnModel() throws IOException {
    String gpt2 = model(TABLE[0][0]);
    String gemma = model(TABLE[6][0]);
    Path file =
        Files.writeString(
            dir.resolve("study.yaml"),
            """
            preset: authors
            training: {tokens: 5000}
            dataSets: [{name: own, generate: {seed: 7}}]
            models: {a: {model: %s}, b: {model: %s, sae: {k: 3}}, c: {preset: null}}
            """
                .formatted(gpt2, gemma));
    StudyFile study = StudyFile.read(file);
    StudyConfig a = study.models().get("a");
    StudyConfig b = study.models().get("b");
    assertEquals(5000, a.training().tokens());
    assertEquals(4096, a.training().batch());
    assertEquals(10240, b.training().batch());
    assertEquals(List.of(3), b.sae().k());
    assertEquals(100_000_000, a.dataSets().get(0).generate().tokens(), "the authors' budget");
    assertEquals(7, a.dataSets().get(0).generate().seed());
    assertEquals(
        StudyFile.defaults().models().values().iterator().next().sae(),
        study.models().get("c").sae());
  }

  @Test
  void otherModelsAreRefused() throws IOException {
    String other = model("gpt2,n_layer=12,n_embd=770");
    for (String yaml : List.of("preset: authors\n", "preset: authors\nmodel: " + other + "\n")) {
      String said =
          String.valueOf(assertThrows(SaeFormatException.class, () -> read(yaml)).getMessage());
      assertTrue(said.contains("expected a model that the authors used (gpt2-small, "), said);
    }
    String said =
        String.valueOf(
            assertThrows(SaeFormatException.class, () -> read("preset: author\n")).getMessage());
    assertTrue(said.contains("preset: expected authors or none, got author"), said);
  }

  private StudyConfig read(String yaml) throws IOException {
    Path file = Files.writeString(dir.resolve("study.yaml"), yaml);
    return StudyFile.read(file).models().values().iterator().next();
  }

  private String model(String config) throws IOException {
    String[] parts = config.split(",");
    StringBuilder json = new StringBuilder("{\"model_type\": \"" + parts[0] + "\"");
    for (int i = 1; i < parts.length; i++) {
      json.append(", \"").append(parts[i].replace("=", "\": "));
    }
    Path folder = Files.createDirectories(dir.resolve("model-" + config.hashCode()));
    Files.writeString(folder.resolve("config.json"), json + "}");
    return folder.getFileName().toString();
  }
}
