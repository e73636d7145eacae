package io.faithfulsae.cli;

import static io.faithfulsae.cli.Tiny.sae;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.Activation;
import io.faithfulsae.Backends;
import io.faithfulsae.Sae;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.Selection.Rule;
import io.faithfulsae.training.TrainingConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code sae train --activation}. */
class TrainActivationsTest {
  @TempDir Path dir;

  private Object[] train(Object... more) throws IOException {
    Object[] args = {
      "train",
      "--activations",
      Tiny.shards(dir.resolve("shards")),
      "--d-sae",
      32,
      "--tokens",
      6_000,
      "--batch",
      500,
      "--overwrite",
      "--out",
      dir.resolve("sae")
    };
    Object[] all = Arrays.copyOf(args, args.length + more.length);
    System.arraycopy(more, 0, all, args.length, more.length);
    return all;
  }

  private Activation trained() throws IOException {
    try (Backend backend = Backends.open("cpu");
        Sae sae = Sae.load(dir.resolve("sae"), backend)) {
      return sae.config().activation();
    }
  }

  @Test
  void trainsOtherActivations() throws IOException {
    sae(train("--activation", "batchtopk", "--k", 4, "--prefixes", "8,16")).ok();
    String provenance = Files.readString(dir.resolve("sae/training.json"));
    assertTrue(provenance.contains("\"latents\" : 16"), provenance);
    assertEquals(Rule.THRESHOLD, trained().selection().rule(), "with the learned threshold");
    sae(train("--activation", "groupmax", "--k", 4)).ok();
    assertEquals(new Activation.GroupMax(4), trained());
    sae(train("--activation", "abstopk", "--k", 4)).ok();
    assertEquals(new Activation.AbsTopK(4), trained());
    sae(train("--k", 4, "--rank-by-norm")).ok();
    String ranked = Files.readString(dir.resolve("sae/training.json"));
    assertTrue(ranked.contains("\"rankByNorm\" : true"), ranked);
    sae(train("--activation", "relu", "--sparsity-coefficient", "0.1")).ok();
    assertEquals(new Activation.Relu(), trained());
    sae(train("--activation", "jumprelu", "--sparsity", "tanh", "--sparsity-coefficient", "0.05"))
        .ok();
    assertEquals(new Activation.JumpRelu(), trained());
  }

  @Test
  void trainsTopKAsSparsify() throws IOException {
    sae(train("--k", 4, "--k-decay-steps", 3, "--multi-topk", "--lr-by-width")).ok();
    String provenance = Files.readString(dir.resolve("sae/training.json"));
    for (String option :
        new String[] {
          "\"initialK\" : 32", "\"kDecaySteps\" : 3", "\"multiTopK\" : 0.125", "\"lr\" : 0.004525"
        }) {
      assertTrue(provenance.contains(option), option + " in " + provenance);
    }
    assertEquals(new Activation.TopK(4), trained());
  }

  @Test
  void trainsWithOtherOptimizers() throws IOException {
    sae(train("--k", 4, "--optimizer", "signum")).ok();
    String provenance = Files.readString(dir.resolve("sae/training.json"));
    assertTrue(provenance.contains("\"optimizer\" : \"SIGNUM\""), provenance);
    assertTrue(provenance.contains("\"lr\" : 0.113137"), provenance);
    sae(train("--k", 4, "--optimizer", "muon", "--lr", "1e-3")).ok();
    provenance = Files.readString(dir.resolve("sae/training.json"));
    assertTrue(provenance.contains("\"optimizer\" : \"MUON\""), provenance);
    assertEquals(2, sae(train("--k", 4, "--lr", "1e-3", "--lr-by-width")).code());
  }

  @Test
  void whatIsNotGivenIsChosenAndSaid() throws IOException {
    Object[] few = {
      "train",
      "--activations",
      Tiny.shards(dir.resolve("shards")),
      "--d-sae",
      64,
      "--k",
      4,
      "--tokens",
      6_000,
      "--out",
      dir.resolve("sae")
    };
    Tiny.Ran ran = sae(few).ok();
    double lr = 2e-4 / Math.sqrt(64 / 16384.0) * Math.sqrt(10_000 / 93.0);
    assertTrue(
        ran.err()
            .startsWith(
                "train: d 16, d_sae 64, 6,000 rows in 93 steps of 64; lr "
                    + String.format(Locale.ROOT, "%.3g", lr)
                    + " (adam), warm-up 4 and decay 18 steps; latents count as dead after 256 rows,"
                    + " revived with weight 0.500, 8 per row. Settings chosen from d, d_sae and"
                    + " --tokens; change them with --batch, --lr,"),
        ran.err());
    JsonNode training = training();
    assertEquals(lr, training.path("lr").asDouble(), 1e-12);
    assertEquals(64, training.path("batch").asInt());
  }

  @Test
  void otherOptionsOverrideWhatIsChosen() throws IOException {
    Tiny.Ran ran =
        sae(train(
                "--k",
                4,
                "--lr",
                "1e-3",
                "--warmup-steps",
                2,
                "--decay-steps",
                0,
                "--aux-coefficient",
                "0.1"))
            .ok();
    assertTrue(ran.err().contains("12 steps of 500; lr 0.00100 (adam), warm-up 2 and decay 0"));
    JsonNode training = training();
    assertEquals(1e-3, training.path("lr").asDouble());
    assertEquals(500, training.path("batch").asInt());
    assertEquals(2, training.path("warmupSteps").asInt());
    assertEquals(0.1, training.path("auxCoefficient").asDouble());
    assertEquals(0, training.path("decaySteps").asInt());
  }

  @Test
  void presetsAreThePeersSettings() throws IOException {
    sae(train("--k", 4, "--preset", "study")).ok();
    TrainingConfig study =
        TrainingConfig.faithfulSae().toBuilder()
            .tokens(6_000)
            .batch(500)
            .checkpointSteps(200)
            .build();
    assertEquals(study, new JsonMapper().treeToValue(training(), TrainingConfig.class));
    Tiny.Ran ran = sae(train("--k", 4, "--preset", "sparsify")).ok();
    assertTrue(ran.err().contains("not revived. Settings of sparsify; change"), ran.err());
    assertEquals("TARGET_VARIANCE", training().path("auxNorm").asText());
    assertEquals(2e-4 / Math.sqrt(32 / 16384.0), training().path("lr").asDouble(), 1e-12);
    sae(train("--k", 4, "--preset", "saelens")).ok();
    assertEquals("SUM_MEAN", training().path("auxNorm").asText());
    sae(train("--k", 4, "--preset", "dictionary_learning")).ok();
    assertEquals(1000, training().path("warmupSteps").asInt());
    sae(train("--k", 4, "--preset", "openai", "--lr", "2e-4")).ok();
    assertEquals(6.25e-10, training().path("eps").asDouble());
    assertEquals(2e-4, training().path("lr").asDouble());
  }

  private JsonNode training() throws IOException {
    return new JsonMapper()
        .readTree(Files.readString(dir.resolve("sae/training.json")))
        .path("training");
  }

  @Test
  void refusesOptionsOfAnotherActivation() throws IOException {
    for (Object[] wrong :
        new Object[][] {
          {"--activation", "topk"},
          {"--activation", "relu", "--k", 4},
          {"--k", 4, "--sparsity", "l1"},
          {"--activation", "relu", "--bandwidth", "0.1"},
          {"--activation", "jumprelu", "--prefixes", "8"},
          {"--activation", "relu", "--k-decay-steps", "8"},
          {"--activation", "batchtopk", "--k", 4, "--multi-topk"},
          {"--k", 4, "--initial-k", 8},
          {"--activation", "groupmax", "--k", 4, "--k-decay-steps", 5},
          {"--activation", "groupmax", "--k", 5},
          {"--activation", "abstopk"},
          {"--activation", "relu", "--rank-by-norm"},
          {"--activation", "groupmax", "--k", 4, "--rank-by-norm"},
          {"--activation", "groupmax", "--k", 4, "--preset", "saelens"},
          {"--activation", "relu", "--preset", "sparsify"},
          {"--activation", "batchtopk", "--k", 4, "--preset", "openai"},
          {"--k", 4, "--rank-by-norm", "--preset", "openai"},
          {"--k", 4, "--preset", "anthropic"}
        }) {
      Tiny.Ran ran = sae(train(wrong));
      assertEquals(2, ran.code(), Arrays.toString(wrong) + ran.err());
    }
  }
}
