package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.TokenSource;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.metrics.LatentDescription.Options;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import org.apache.commons.math3.stat.correlation.PearsonsCorrelation;
import org.junit.jupiter.api.Test;

/**
 * A model without blocks whose embedding determines each latent's activations; computed by hand.
 */
class LatentDescriptionTest {
  private static final HookPoint HOOK = HookPoint.residPre(0);

  private static final ActivationFilter BEHIND_FIRST =
      new ActivationFilter(1, Set.of(), Double.POSITIVE_INFINITY);

  private static ModelActivations on(ActivationFilter filter) {
    return new ModelActivations(model(), HOOK, TEXT, filter);
  }

  /**
   * Token t is (t, 0, 0) for t < 4, and (0, t, t / 2) for others; the unembedding is its transpose.
   */
  private static TinyModel model() {
    float[] embedding = new float[8 * 3];
    float[] unembedding = new float[3 * 8];
    for (int t = 0; t < 8; t++) {
      float[] row = t < 4 ? new float[] {t, 0, 0} : new float[] {0, t, t / 2f};
      for (int i = 0; i < 3; i++) {
        embedding[t * 3 + i] = row[i];
        unembedding[i * 8 + t] = row[i];
      }
    }
    return new TinyModel(3, embedding, List.of(new float[9]), unembedding);
  }

  private static final TokenSource TEXT =
      Given.text(new int[] {0, 1, 5, 2}, new int[] {0, 3, 4, 3}, new int[] {0, 7, 6, 1});

  @Test
  void matchesHandComputedValues() throws IOException {
    try (Backend backend = new ReferenceBackend();
        Sae sae =
            Given.sae(backend, 2, Given.axis(3, 0, 1), Given.axis(3, 1, 1), Given.axis(3, 2, 1))) {
      Options options = new Options(10, 2, 2, 2);
      List<LatentDescription> both =
          Metrics.describe(sae, List.of(0, 2), on(BEHIND_FIRST), options);
      LatentDescription first = both.get(0);
      // The tokens after BOS are 1 5 2, 3 4 3, 7 6 1.
      assertEquals(9, first.rows());
      assertEquals(5.0 / 9, first.density(), 1e-12);
      assertEquals((1 + 2 + 3 + 3 + 1) / 5.0, first.meanActivation(), 1e-6);
      assertEquals(3, first.maxActivation(), 1e-6);
      assertEquals(5, first.logActivations().counts().stream().mapToLong(c -> c).sum());
      assertEquals(2, first.examples().size());
      LatentDescription.Example best = first.examples().get(0);
      assertEquals(1, best.sequence());
      assertEquals(1, best.position(), "the first on ties");
      assertEquals(List.of(0, 3, 4, 3), best.tokens());
      assertEquals(List.of(0.0, 3.0, 0.0, 3.0), best.activations());
      assertEquals(0, first.examples().get(1).sequence());
      assertEquals(List.of(), first.correlated(), "it fires with no other");
      assertEquals(0, first.nearest().get(0).cosine(), 1e-12);
      // The direction (1, 0, 0) times 3, through the unembedding: 3 t for t < 4.
      assertEquals(List.of(3, 2), first.raised().stream().map(e -> e.token()).toList());
      assertEquals(9, first.raised().get(0).logit(), 1e-5);

      LatentDescription third = both.get(1);
      assertEquals(1, third.correlated().size());
      assertEquals(1, third.correlated().get(0).latent());
      assertEquals(1, third.correlated().get(0).jaccard(), 1e-12);
      double[] z = {0, 2.5, 0, 0, 2, 0, 3.5, 3, 0};
      double[] other = {0, 5, 0, 0, 4, 0, 7, 6, 0};
      assertEquals(
          new PearsonsCorrelation().correlation(z, other),
          third.correlated().get(0).correlation(),
          1e-6);
    }
  }

  @Test
  void tokenEffectsDoNotDependOnTheOtherLatents() throws IOException {
    float[][] directions = new float[20][];
    for (int c = 0; c < directions.length; c++) {
      directions[c] = new float[] {(float) Math.cos(c), (float) Math.sin(c), c % 3 - 1};
    }
    List<Integer> all = IntStream.range(0, directions.length).boxed().toList();
    try (Backend backend = new ReferenceBackend();
        Sae sae = Given.sae(backend, 20, directions)) {
      Options options = new Options(10, 2, 2, 2);
      List<LatentDescription> together =
          Metrics.describe(sae, all, on(ActivationFilter.NONE), options);
      assertTrue(together.stream().map(LatentDescription::raised).distinct().count() > 5);
      for (int c : all) {
        LatentDescription alone =
            Metrics.describe(sae, List.of(c), on(ActivationFilter.NONE), options).get(0);
        assertEquals(alone.raised(), together.get(c).raised(), "latent " + c);
        assertEquals(alone.lowered(), together.get(c).lowered(), "latent " + c);
      }
    }
  }

  @Test
  void invalidLatentsAreRejected() {
    try (Backend backend = new ReferenceBackend();
        Sae sae = Given.perfect(backend, 3)) {
      Options options = new Options(10, 2, 2, 2);
      for (List<Integer> wrong : List.of(List.of(6), List.of(-1), List.of(1, 1))) {
        Exception rejected =
            assertThrows(
                IllegalArgumentException.class,
                () -> Metrics.describe(sae, wrong, on(ActivationFilter.NONE), options));
        assertTrue(rejected.getMessage().contains("latents"), rejected.getMessage());
      }
    }
  }
}
