package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.TokenSource;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.metrics.FakeFeatures.Options;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Measuring SAEs together gives the same results as measuring each alone, but the model runs once.
 */
class SeveralSaesTest {
  private static final HookPoint HOOK = HookPoint.residPre(1);

  @TempDir Path folder;

  @Test
  void eachResultIsTheSameAsMeasuredAlone() throws IOException {
    try (Backend backend = new ReferenceBackend();
        Safetensors golden = Given.tensors(folder);
        Sae first = Given.goldenSae(golden, backend);
        Sae second = Given.perfect(backend, 12)) {
      List<Sae> both = List.of(first, second);
      ActivationFilter filter = new ActivationFilter(1, Set.of(), Double.POSITIVE_INFINITY);
      TokenSource text = Given.text(new int[] {0, 3, 5, 7}, new int[] {0, 2, 4}, new int[] {0, 9});
      ModelActivations activations = new ModelActivations(model(golden), HOOK, text, filter);
      ActivationSource rows = ActivationSources.ofArray(Goldens.floats(golden, "x"), 12);
      Options options =
          Options.tokens(8).noiseTokens(300).filter(filter).resamples(50).text(text, 3).build();

      List<CrossEntropy> costs = Metrics.crossEntropy(both, activations, 100);
      List<Reconstruction> reconstructions = Metrics.reconstruction(both, rows, 600);
      List<FakeFeatures> fakes = Metrics.fakeFeatures(both, activations.on(), options);
      for (int i = 0; i < both.size(); i++) {
        Sae alone = both.get(i);
        assertEquals(Metrics.crossEntropy(alone, activations, 100), costs.get(i));
        assertEquals(Metrics.reconstruction(alone, rows, 600), reconstructions.get(i));
        assertEquals(Metrics.fakeFeatures(alone, activations.on(), options), fakes.get(i));
      }
      assertNotEquals(costs.get(0), costs.get(1));
      assertNotEquals(reconstructions.get(0), reconstructions.get(1));
    }
  }

  @Test
  void modelRunsToTheHookTwiceForAllSaes() throws IOException {
    try (Backend backend = new ReferenceBackend();
        Safetensors golden = Given.tensors(folder);
        Sae sae = Given.goldenSae(golden, backend)) {
      int[] runs = new int[1];
      TinyModel counting =
          new TinyModel(
              12,
              Goldens.floats(golden, "embedding"),
              List.of(Goldens.floats(golden, "block0"), Goldens.floats(golden, "block1")),
              Goldens.floats(golden, "unembedding")) {
            @Override
            public void activations(HookPoint hook, int[][] tokens, FloatBuffer into) {
              runs[0]++;
              super.activations(hook, tokens, into);
            }
          };
      TokenSource text = Given.text(new int[] {0, 3, 5, 7}, new int[] {0, 2, 4, 6});
      Metrics.crossEntropy(
          List.of(sae, sae, sae),
          new ModelActivations(
              counting, HOOK, text, new ActivationFilter(1, Set.of(), Double.POSITIVE_INFINITY)),
          100);
      assertEquals(2, runs[0], "one batch of two sequences, for the mean and for the SAEs");
    }
  }

  @Test
  void saesOnDifferentBackendsAreRejected() throws IOException {
    try (Backend one = new ReferenceBackend();
        Backend other = new ReferenceBackend();
        Sae first = Given.perfect(one, 3);
        Sae second = Given.perfect(other, 3)) {
      ActivationSource rows = ActivationSources.ofArray(new float[] {1, 2, 3}, 3);
      Exception rejected =
          assertThrows(
              IllegalArgumentException.class,
              () -> Metrics.reconstruction(List.of(first, second), rows, 1));
      assertTrue(rejected.getMessage().contains("the same backend"), rejected.getMessage());
      assertThrows(
          IllegalArgumentException.class, () -> Metrics.reconstruction(List.of(), rows, 1));
    }
  }

  private static TinyModel model(Safetensors golden) throws IOException {
    return new TinyModel(
        12,
        Goldens.floats(golden, "embedding"),
        List.of(Goldens.floats(golden, "block0"), Goldens.floats(golden, "block1")),
        Goldens.floats(golden, "unembedding"));
  }
}
