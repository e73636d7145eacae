package io.faithfulsae.cli;

import static io.faithfulsae.cli.Tiny.sae;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Activation;
import io.faithfulsae.Backends;
import io.faithfulsae.Sae;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.Selection.Rule;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
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
          {"--activation", "groupmax", "--k", 4, "--rank-by-norm"}
        }) {
      Tiny.Ran ran = sae(train(wrong));
      assertEquals(2, ran.code(), Arrays.toString(wrong) + ran.err());
    }
  }
}
