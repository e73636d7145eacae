package io.faithfulsae.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.StepConfig.DecoderNorm;
import io.faithfulsae.spi.StepConfig.Optimizer;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Runs with each optimizer. A subclass opens the backend. */
public abstract class OptimizerRunsTest extends RunFixture {

  private static TrainingConfig config(Optimizer optimizer, int steps) {
    return TrainingConfig.sparsify(optimizer, SAE, 16L * steps, 16).toBuilder()
        .bufferRows(70)
        .lr(optimizer == Optimizer.SIGNUM ? 3e-3 : 1e-2)
        .warmupSteps(0)
        .checkpointSteps(5)
        .build();
  }

  @ParameterizedTest
  @EnumSource(Optimizer.class)
  void resumesToTheSameBits(Optimizer optimizer) throws IOException, InterruptedException {
    assertResumesToTheSameBits(trainer(config(optimizer, STEPS)));
  }

  @ParameterizedTest
  @EnumSource(Optimizer.class)
  void learns(Optimizer optimizer) throws IOException, InterruptedException {
    List<TrainingProgress> received = new ArrayList<>();
    TrainingConfig config = config(optimizer, 300);
    finish(trainer(config).withListener(received::add).start(SOURCE, folder.resolve("run")));
    double first = received.get(0).fvu();
    double last = received.get(received.size() - 1).fvu();
    assertTrue(last < 0.5 * first, "FVU " + first + " -> " + last);
  }

  /** One step: x is the iterate of that step, z_0 − lr sign(g), and so is y. */
  @Test
  void signumSavesTheAverage() throws IOException, InterruptedException {
    double lr = 3e-3;
    float[] start = encoder(0, lr);
    float[] one = encoder(1, lr);
    float[] two = encoder(2, lr);
    for (int i = 0; i < start.length; i++) {
      double first = (one[i] - start[i]) / lr;
      double both = 2 * (two[i] - one[i]) / lr; // the average moves by half of the second step
      assertTrue(isSign(first), "first step of weight " + i + ": " + first + " lr");
      assertTrue(isSign(both), "second step of weight " + i + ": " + both + " lr");
    }
  }

  private static boolean isSign(double step) {
    return Math.abs(step) < 1e-2 || Math.abs(Math.abs(step) - 1) < 1e-2;
  }

  /** The encoder's weights after a run; of 0 steps, those it starts from. */
  private float[] encoder(int steps, double lr) throws IOException, InterruptedException {
    TrainingConfig config =
        config(Optimizer.SIGNUM, Math.max(1, steps)).toBuilder()
            .lr(steps == 0 ? Double.MIN_NORMAL : lr)
            .decoderNorm(DecoderNorm.NONE)
            .bufferRows(16) // the same batches whatever the number of steps
            .build();
    Path dir = folder.resolve("steps" + steps);
    finish(trainer(config).start(SOURCE, dir));
    try (Sae sae = Sae.load(dir, backend)) {
      float[] weights = new float[D_IN * SAE.dSae()];
      FloatBuffer host = DirectBuffers.floats(weights.length);
      sae.parameters().read(BackendSae.Tensor.W_ENC, 0, host);
      host.get(0, weights);
      return weights;
    }
  }

  @Test
  void thePresetIsSparsifys() {
    TrainingConfig signum = TrainingConfig.sparsify(Optimizer.SIGNUM, SAE, 1600, 16);
    assertEquals(5e-3 / Math.sqrt(24 / 16384.0), signum.lr(), 1e-12);
    assertEquals(signum.lr(), signum.lrAt(0));
    assertEquals(signum.lr(), signum.lrAt(99));
    TrainingConfig muon = TrainingConfig.sparsify(Optimizer.MUON, SAE, 1600, 16);
    assertEquals(2e-3, muon.lrAt(0));
    assertEquals(2e-5, muon.lrAt(99), 1e-9);
    TrainingConfig adam = TrainingConfig.sparsify(Optimizer.ADAM, SAE, 1600, 16);
    assertEquals(TrainingConfig.sparsifyAdam(D_IN, 24, 1600, 16), adam);
    SaeConfig transcoder =
        new SaeConfig(D_IN, 24, SAE.activation(), false, SaeConfig.Normalization.NONE);
    TrainingConfig free = TrainingConfig.sparsify(Optimizer.ADAM, transcoder, 1600, 16);
    assertEquals(DecoderNorm.NONE, free.step().weights().decoderNorm());
  }
}
