package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.metrics.LatentDescription.Snippets;
import io.faithfulsae.metrics.LatentDescription.Snippets.Options;
import io.faithfulsae.metrics.LatentDescription.Snippets.Snippet;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/**
 * Token t is the unit vector e_(t mod 3) times t, so that latent i fires at tokens of residue i.
 */
class LatentSnippetsTest {
  private static final HookPoint HOOK = HookPoint.residPre(0);
  private static final ActivationFilter BEHIND_BOS =
      new ActivationFilter(1, Set.of(), Double.POSITIVE_INFINITY);

  private static TinyModel model() {
    float[] embedding = new float[9 * 3];
    for (int t = 0; t < 9; t++) {
      embedding[t * 3 + t % 3] = t;
    }
    return TinyModel.ofEmbedding(3, embedding);
  }

  private static Sae sae(Backend on) {
    return Given.sae(on, 1, Given.axis(3, 0, 1), Given.axis(3, 1, 1), Given.axis(3, 2, 1));
  }

  @Test
  void snippetsFireOrDoNot() throws IOException {
    int[][] text = {{0, 3, 1, 4, 2, 8, 5}, {3, 1, 6, 2}, {7}};
    try (Backend backend = new ReferenceBackend();
        Sae sae = sae(backend)) {
      List<Snippets> seen =
          Metrics.snippets(
              sae,
              List.of(0, 2),
              new ModelActivations(model(), HOOK, Given.text(text), BEHIND_BOS),
              new Options(10, 2, 9, 1));
      // Snippets: 0 3 | 1 4 | 2 8 (5 is left over), and 3 1 | 6 2, whose first 3 is filtered out.
      assertEquals(
          List.of(new Snippet(0, 0, List.of(0, 3), 3), new Snippet(1, 2, List.of(6, 2), 6)),
          seen.get(0).firing());
      assertEquals(
          List.of(
              new Snippet(0, 2, List.of(1, 4), 0),
              new Snippet(0, 4, List.of(2, 8), 0),
              new Snippet(1, 0, List.of(3, 1), 0)),
          seen.get(0).silent());
      assertEquals(2, seen.get(1).latent());
      assertEquals(
          List.of(new Snippet(0, 4, List.of(2, 8), 8), new Snippet(1, 2, List.of(6, 2), 2)),
          seen.get(1).firing());
    }
  }

  @Test
  void drawsUniformly() throws IOException {
    int[][] text = new int[40][];
    for (int s = 0; s < text.length; s++) {
      text[s] = new int[] {0, 3, 1, 4};
    }
    int[] drawn = new int[text.length];
    try (Backend backend = new ReferenceBackend();
        Sae sae = sae(backend)) {
      List<Snippets> first = List.of();
      for (int seed = 0; seed < 400; seed++) {
        List<Snippets> seen =
            Metrics.snippets(
                sae,
                List.of(0),
                new ModelActivations(model(), HOOK, Given.text(text), BEHIND_BOS),
                new Options(100, 2, 10, seed));
        assertEquals(10, seen.get(0).firing().size());
        seen.get(0).firing().forEach(snippet -> drawn[(int) snippet.sequence()]++);
        assertNotEquals(first, seen);
        first = seen;
      }
    }
    // 400 draws of 10 out of 40: mean 100, standard deviation 8.7
    for (int count : drawn) {
      assertTrue(count > 60 && count < 140, java.util.Arrays.toString(drawn));
    }
  }

  @Test
  void invalidRequestsAreRejected() {
    assertThrows(IllegalArgumentException.class, () -> new Options(1, 0, 1, 1));
    try (Backend backend = new ReferenceBackend();
        Sae sae = sae(backend)) {
      assertThrows(
          IllegalArgumentException.class,
          () ->
              Metrics.snippets(
                  sae,
                  List.of(3),
                  new ModelActivations(model(), HOOK, Given.text(new int[] {0, 1}), BEHIND_BOS),
                  new Options(1, 1, 1, 1)));
    }
  }
}
