package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.HookPoint;
import io.faithfulsae.TokenSource;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.metrics.ModelActivations.HookedModel;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.util.Set;
import org.junit.jupiter.api.Test;

class ModelActivationsTest {
  private static final TokenSource TEXT = Given.text(new int[] {0, 1, 2}, new int[] {0, 3, 1});

  // Token t is (t, 10 t).
  private final TinyModel model = TinyModel.ofEmbedding(2, new float[] {0, 0, 1, 10, 2, 20, 3, 30});

  @Test
  void aHookPointThatTheModelDoesNotHaveIsRejectedAtOnce() {
    HookPoint lacking = HookPoint.residPre(7);
    String alone =
        assertThrows(IllegalArgumentException.class, () -> new HookedModel(model, lacking))
            .getMessage();
    assertTrue(alone.contains("got blocks.7.hook_resid_pre"), alone);
    String onText =
        assertThrows(
                IllegalArgumentException.class,
                () -> new ModelActivations(model, lacking, TEXT, ActivationFilter.NONE))
            .getMessage();
    assertEquals(alone, onText);
  }

  @Test
  void sourceHasTheRowsThatTheFilterKeeps() throws IOException {
    HookPoint hook = HookPoint.residPre(0);
    ActivationFilter filter = new ActivationFilter(1, Set.of(3), Double.POSITIVE_INFINITY);
    ModelActivations activations = new ModelActivations(model, hook, TEXT, filter);
    assertEquals(new HookedModel(model, hook), activations.on());
    try (Backend backend = new ReferenceBackend();
        ActivationBatch rows = ActivationBatch.allocate(backend, 9, 2);
        ActivationReader reader = activations.source(2).open(0)) {
      while (reader.read(rows) >= 0) {
        // reads to the end
      }
      assertEquals(3, rows.rows());
      float[] seen = new float[6];
      rows.data().get(0, seen);
      // Tokens 1 and 2 of the first sequence, and 1 of the second; the filter excludes 3.
      assertArrayEquals(new float[] {1, 10, 2, 20, 1, 10}, seen);
    }
    assertThrows(IllegalArgumentException.class, () -> activations.source(0));
  }
}
