package io.faithfulsae.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.conformance.AnySae.Kind;
import io.faithfulsae.conformance.AnySae.Rows;
import io.faithfulsae.conformance.TrainingSetup.Snapshot;
import io.faithfulsae.conformance.TrainingSetup.Variant;
import io.faithfulsae.javabackend.internal.JavaBackendProvider;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.StepStats;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.StepConfig;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The backend {@code java} gives the same bits with any number of threads, time after time. */
class JavaThreadsTest {
  private static final int D_IN = 70;
  private static final int D_SAE = 700; // more than a panel
  private static final int ROWS = 333; // more than a block
  private static final int[] THREADS = {1, 2, 4, 4};

  @ParameterizedTest
  @EnumSource
  void encodesTheSame(Kind kind) {
    AnySae weights = AnySae.gaussian(5, kind.shape(D_IN, D_SAE, true));
    float[] x = Data.gaussian(6, ROWS * D_IN);
    List<Rows> all = new ArrayList<>();
    for (int threads : THREADS) {
      try (Backend backend = new JavaBackendProvider().open("threads=" + threads);
          BackendSae sae = weights.on(backend)) {
        all.add(AnySae.encode(backend, sae, kind.selection(10), x, ROWS));
      }
    }
    assertTrue(all.get(0).indices().length > ROWS, "something is encoded");
    for (Rows rows : all) {
      assertArrayEquals(all.get(0).starts(), rows.starts());
      assertArrayEquals(all.get(0).indices(), rows.indices());
      assertArrayEquals(all.get(0).values(), rows.values());
    }
  }

  /** The study's recipe with dead latents, and BatchTopK. */
  @Test
  void trainsTheSame() {
    StepConfig config =
        StepConfig.builder().deadAfterBatches(2).auxK(20).auxCoefficient(0.25).clipNorm(1).build();
    for (Selection selection :
        List.of(Selection.topK(8), new Selection(Selection.Rule.BATCH_TOP_K, 8))) {
      Variant variant = new Variant("", true, selection, false, config);
      List<Snapshot> ends = new ArrayList<>();
      List<List<StepStats>> stats = new ArrayList<>();
      for (int threads : THREADS) {
        try (Backend backend = new JavaBackendProvider().open("threads=" + threads);
            BackendSae sae = Data.Weights.gaussian(7, D_IN, D_SAE, true).on(backend);
            BackendTrainer trainer = TrainingSetup.trainer(sae, variant)) {
          List<StepStats> steps = new ArrayList<>();
          for (int step = 0; step < 6; step++) {
            try (DeviceBuffer x = Data.upload(backend, Data.gaussian(step, ROWS * D_IN))) {
              trainer.step(x, ROWS, 1e-3);
              steps.add(trainer.stats());
            }
          }
          stats.add(steps);
          ends.add(Snapshot.of(sae, trainer, variant));
        }
      }
      assertTrue(stats.get(0).get(5).aux() > 0, "latents died");
      for (int i = 0; i < THREADS.length; i++) {
        assertEquals(stats.get(0), stats.get(i), THREADS[i] + " threads");
        assertEquals(ends.get(0), ends.get(i), THREADS[i] + " threads");
      }
    }
  }
}
