package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.metrics.ModelActivations.HookedModel;
import io.faithfulsae.metrics.ProbeTask.Example;
import io.faithfulsae.metrics.Probing.Options;
import io.faithfulsae.spi.Backend;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/**
 * Tokens 0 to 4 excite axis 0 of the residual stream, 5 to 9 axis 1, and 10 to 14 axis 2. A text's
 * class is whichever of the first two groups is more frequent; axis 2 carries no information.
 */
class ProbingTest {
  private static final HookedModel ON =
      new HookedModel(TinyModel.ofEmbedding(3, embedding()), HookPoint.residPre(0));

  private static float[] embedding() {
    float[] rows = new float[16 * 3];
    for (int token = 0; token < 15; token++) {
      rows[token * 3 + token / 5] = 1 + token % 5;
    }
    return rows;
  }

  @Test
  void probeCannotUseWhatTheSaeDrops() {
    try (Backend backend = new ReferenceBackend();
        Sae all = Given.perfect(backend, 3);
        // It sees only axis 2, which carries no information about the class.
        Sae blind = Given.sae(backend, 1, Given.axis(3, 2, 1))) {
      List<Long> read = new ArrayList<>();
      List<Probing> results =
          Metrics.probe(List.of(all, blind), ON, task(300, 200), Options.clean(), read::add);
      Probing seeing = results.get(0);
      assertEquals(300, seeing.trainExamples());
      assertEquals(200, seeing.testExamples());
      assertEquals(500, read.get(read.size() - 1));
      assertTrue(seeing.baseline().accuracy().estimate() > 0.95, seeing.toString());
      assertTrue(seeing.sae().accuracy().estimate() > 0.95, seeing.toString());
      assertEquals(
          seeing.baseline().accuracy().estimate(),
          seeing.recon().accuracy().estimate(),
          1e-12,
          "a perfect reconstruction");
      Probing blinded = results.get(1);
      assertEquals(seeing.baseline(), blinded.baseline());
      assertTrue(blinded.sae().accuracy().estimate() < 0.75, blinded.toString());
      BootstrapInterval accuracy = seeing.sae().accuracy();
      assertTrue(accuracy.low() <= accuracy.estimate() && accuracy.estimate() <= accuracy.high());
      assertEquals(List.of(200), List.of(seeing.testClassCounts().stream().mapToInt(i -> i).sum()));
    }
  }

  @Test
  void latentsWithLargeProbeWeightsCarryTheTask() {
    try (Backend backend = new ReferenceBackend();
        Sae sae = Given.perfect(backend, 3)) {
      ProbeTask task = task(300, 200);
      List<Double> weights =
          Metrics.probeWeights(List.of(sae), ON, task, Options.clean(), read -> {}).get(0);
      assertEquals(6, weights.size());
      // Latents 0 and 1 read the axes that tell the classes apart; 3 to 5 never fire.
      List<Integer> ranking = new ArrayList<>(List.of(0, 1, 2, 3, 4, 5));
      ranking.sort(java.util.Comparator.comparingDouble(latent -> -weights.get(latent)));
      assertEquals(java.util.Set.of(0, 1), java.util.Set.copyOf(ranking.subList(0, 2)));
      assertEquals(0, weights.get(4));
      List<Probing> parts =
          Metrics.probe(
              List.of(sae.only(List.of(0, 1)), sae.only(List.of(2))),
              ON,
              task,
              Options.clean(),
              read -> {});
      assertTrue(parts.get(0).sae().accuracy().estimate() > 0.95, parts.get(0).toString());
      assertTrue(parts.get(1).sae().accuracy().estimate() < 0.75, parts.get(1).toString());
      assertThrows(
          IllegalArgumentException.class,
          () -> Metrics.probeWeights(List.of(sae), ON, task, Options.authors(), read -> {}));
    }
  }

  @Test
  void authorsProtocolLearnsTheTaskToo() {
    try (Backend backend = new ReferenceBackend();
        Sae sae = Given.perfect(backend, 3)) {
      Probing result =
          Metrics.probe(List.of(sae), ON, task(3000, 300), Options.authors(), read -> {}).get(0);
      assertTrue(result.sae().accuracy().estimate() > 0.9, result.toString());
      assertEquals(0, result.sae().cost());
    }
  }

  @Test
  void invalidTasksAreRejected() {
    Example one = new Example(new int[] {15, 1}, 0);
    for (List<Example> train : List.of(List.<Example>of(), List.of(one))) {
      assertThrows(
          IllegalArgumentException.class,
          () -> new ProbeTask("t", List.of("a", "b"), train, List.of(one)));
    }
    Example unknown = new Example(new int[] {15, 1}, 2);
    Exception rejected =
        assertThrows(
            IllegalArgumentException.class,
            () -> new ProbeTask("t", List.of("a", "b"), List.of(one, unknown), List.of(one)));
    assertTrue(rejected.getMessage().contains("label in [0, 2)"), rejected.getMessage());
  }

  private static ProbeTask task(int train, int test) {
    Random random = new Random(5);
    return new ProbeTask(
        "which", List.of("first", "second"), examples(train, random), examples(test, random));
  }

  private static List<Example> examples(int count, Random random) {
    List<Example> examples = new ArrayList<>();
    while (examples.size() < count) {
      int[] tokens = new int[3 + random.nextInt(5)];
      tokens[0] = 15;
      int difference = 0;
      for (int t = 1; t < tokens.length; t++) {
        tokens[t] = random.nextInt(15);
        int axis = tokens[t] / 5;
        difference += axis == 2 ? 0 : (1 + tokens[t] % 5) * (axis == 0 ? 1 : -1);
      }
      if (difference != 0) {
        examples.add(new Example(tokens, difference > 0 ? 0 : 1));
      }
    }
    return examples;
  }
}
