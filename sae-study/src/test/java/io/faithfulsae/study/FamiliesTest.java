package io.faithfulsae.study;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.Activation;
import io.faithfulsae.Backends;
import io.faithfulsae.Sae;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.provenance.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Studies of activations other than TopK. */
@Tag("slow")
final class FamiliesTest {
  private static final String SETS =
      """
      dataSets: [{name: plays, file: embedded, tokens: 2000}]
      """;

  @TempDir Path dir;

  @Test
  void activationsAreTrainedAndMeasuredSideBySide() throws IOException {
    String yaml =
        SmallStudy.TWO_SEEDS
                .replace("kCurve: {multiples: []}", "kCurve: {multiples: [1, 2], rows: 100}")
                .replace("featureSubsets: {rankBy: []}", "featureSubsets: {rankBy: [FREQUENCY]}")
                .replace("seedAgreement: {rows: 0}", "seedAgreement: {rows: 100}")
                .replace("fakeVariants: {sequences: 0}", "fakeVariants: {sequences: 5}")
                .replace("decaySteps: 0}", "decaySteps: 0, options: OPTIONS}")
                .replace(
                    "OPTIONS",
                    "{prefixes: [8], sparsity: l0_of_rows, targetL0: 6, sparsityCoefficient: 0.01,"
                        + " bandwidth: 0.1}")
            + SETS
            + "sae: {dSae: 32, k: 4, activation: [batchtopk, jumprelu]}\n";
    Path out = dir.resolve("out");
    try (Backend backend = Backends.open("cpu")) {
      Study.Outcome outcome = Study.run(file(yaml), out, backend, SmallStudy.listener(step -> {}));
      assertEquals(List.of(), outcome.failures());
      JsonNode model = Json.mapper().readTree(outcome.results().toFile()).path("models").get(0);
      Set<String> names = new TreeSet<>();
      for (JsonNode sae : model.path("saes")) {
        names.add(sae.path("name").asText());
        boolean byBatch = sae.path("variant").asText().equals("batchtopk");
        Path folder = out.resolve(sae.path("folder").asText());
        try (Sae trained = Sae.load(folder, backend)) {
          Activation activation = trained.config().activation();
          assertEquals(
              byBatch ? Activation.BatchTopK.class : Activation.JumpRelu.class,
              activation.getClass());
        }
        String training = Files.readString(folder.resolve("training.json"));
        assertEquals(byBatch, training.contains("prefixes"), training);
        assertEquals(!byBatch, training.contains("L0_OF_ROWS"), training);
        assertEquals(byBatch ? 4 : 0, sae.path("k").asInt());
        assertEquals(byBatch ? 2 : 0, sae.path("byK").size(), "only where there is a k");
        assertTrue(sae.path("common").size() > 0, sae.toString());
        assertTrue(sae.path("subsets").size() > 0, sae.toString());
        assertTrue(sae.path("fake").size() > 0, sae.toString());
      }
      assertEquals(
          Set.of("plays-batchtopk-1", "plays-batchtopk-2", "plays-jumprelu-1", "plays-jumprelu-2"),
          names);
      assertEquals(2, model.path("seedPairs").size(), "one pair of seeds for each activation");
      String report = Files.readString(out.resolve("report.html"));
      assertTrue(report.contains("BatchTopK, JumpReLU SAEs (32 latents, k = 4)"), "in the lead");
    }
  }

  @Test
  void whatNoActivationHasIsRefused() {
    for (String wrong :
        List.of(
            "sae: {activation: relu}\ntraining: {options: {prefixes: [8]}}\n",
            "sae: {activation: [relu, relu]}\n",
            "training: {options: {bandwidth: 0.1}}\n",
            "sae: {activation: softmax}\n")) {
      assertThrows(SaeFormatException.class, () -> file(wrong), wrong);
    }
  }

  private StudyFile file(String yaml) throws IOException {
    return StudyFile.read(Files.writeString(dir.resolve("study.yaml"), yaml));
  }
}
