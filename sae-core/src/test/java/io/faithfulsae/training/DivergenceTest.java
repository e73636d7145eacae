package io.faithfulsae.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.Sae;
import io.faithfulsae.TrainingDivergedException;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.training.TrainingConfig.DecoderBiasInit;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** A run that diverged saves nothing, at whichever update. A subclass opens the backend. */
public abstract class DivergenceTest extends RunFixture {
  /** One step, whose update is not followed by another loss. */
  private static TrainingConfig once(double lr) {
    return CONFIG.toBuilder()
        .tokens(16)
        .lr(lr)
        .warmupSteps(0)
        .decaySteps(0)
        .checkpointSteps(0)
        .build();
  }

  private TrainingDivergedException diverges(TrainingRun run, Path dir, String... files)
      throws IOException {
    TrainingDivergedException e = assertThrows(TrainingDivergedException.class, () -> finish(run));
    assertEquals(List.of(files), files(dir));
    assertTrue(e.getMessage().contains("lower the learning rate"), e.getMessage());
    return e;
  }

  @Test
  void theLastUpdateIsCheckedToo() throws IOException {
    for (double lr :
        new double[] {1e38, 1e30}) { // overflowing weights; finite weights with overflowing outputs
      Path dir = folder.resolve("run-" + lr);
      TrainingDivergedException e = diverges(trainer(once(lr)).start(SOURCE, dir), dir);
      assertEquals(1, e.step());
      assertTrue(Double.isFinite(e.loss()), "the loss before the update");
      assertTrue(e.getMessage().contains("after step 1 of loss " + e.loss()), e.getMessage());
    }
  }

  @Test
  void partsAndReplicasAreCheckedToo() throws IOException {
    Path parts = folder.resolve("parts");
    TrainingConfig inParts = once(1e38).toBuilder().accumulate(4).build();
    diverges(trainer(inParts).start(SOURCE, parts), parts);
    Path shared = folder.resolve("shared");
    try (Backend other = open()) {
      SaeTrainer trainer = trainer(once(1e38)).withReplicasOn(List.of(other));
      diverges(trainer.start(SOURCE, shared), shared);
      assertEquals(0, other.liveBytes());
    }
  }

  @Test
  void whatIsCancelledIsCheckedToo() throws IOException {
    Path dir = folder.resolve("run");
    TrainingConfig longer = once(1e38).toBuilder().tokens(320).build();
    assertEquals(1, diverges(start(longer, dir, 1), dir).step());
  }

  @Test
  void anSaeThatIsThereStays() throws IOException, InterruptedException {
    Path dir = run(CONFIG, "run");
    byte[] before = weights(dir);
    diverges(
        trainer(once(1e38)).start(SOURCE, dir),
        dir,
        "cfg.json",
        "sae_weights.safetensors",
        "training.json");
    assertArrayEquals(before, weights(dir));
  }

  /** 64 normal rows, four steps; then rows too large for squared gradients. */
  private static ActivationSource growing() {
    float[] rows = new float[128 * D_IN];
    for (int i = 0; i < rows.length; i++) {
      rows[i] = (float) Math.sin(i * i);
    }
    for (int i = 64 * D_IN; i < rows.length; i++) {
      rows[i] *= 0x1p50f;
    }
    return ActivationSources.ofArray(rows, D_IN);
  }

  @Test
  void theCheckpointFromBeforeIsKept() throws IOException, InterruptedException {
    TrainingConfig careful =
        CONFIG.toBuilder()
            .tokens(128)
            .bufferRows(64)
            .lr(1e-3)
            .clipNorm(0)
            .scaleActivations(false)
            .decoderBiasInit(DecoderBiasInit.ZERO)
            .checkpointSteps(1)
            .build();
    Path dir = folder.resolve("run");
    SaeTrainer trainer = trainer(careful);
    TrainingDivergedException e =
        diverges(trainer.start(growing(), dir), dir, "checkpoint-4.safetensors");
    assertEquals(5, e.step(), e.getMessage());
    diverges(trainer.resume(growing(), dir), dir, "checkpoint-4.safetensors");
  }

  @Test
  void thoseThatAreTrainedBesideItGoOn() throws IOException, InterruptedException {
    Path alone = run(CONFIG, "alone");
    List<Path> dirs =
        List.of(folder.resolve("wild"), folder.resolve("calm"), folder.resolve("late"));
    TrainingConfig wild = CONFIG.toBuilder().lr(1e38).warmupSteps(0).build();
    List<SaeTrainer> trainers = List.of(trainer(wild), trainer(CONFIG), trainer(wild));
    List<TrainingRun> runs = SaeTrainer.startTogether(trainers, SOURCE, dirs);
    diverges(runs.get(0), dirs.get(0));
    assertEquals(STEPS, finish(runs.get(1)).steps());
    assertArrayEquals(weights(alone), weights(dirs.get(1)));
    diverges(runs.get(2), dirs.get(2));
  }

  @Test
  void anSaeWithWeightsThatAreNotFiniteIsNotSaved() throws IOException, InterruptedException {
    Path dir = run(CONFIG, "run");
    byte[] before = weights(dir);
    for (Tensor tensor : Tensor.COMMON) {
      try (Sae sae = Sae.load(dir, backend)) {
        FloatBuffer one =
            ByteBuffer.allocateDirect(4).order(ByteOrder.nativeOrder()).asFloatBuffer();
        sae.parameters().write(tensor, 3, one.put(0, Float.NEGATIVE_INFINITY));
        IllegalStateException e =
            assertThrows(IllegalStateException.class, () -> sae.save(dir), tensor.name());
        assertTrue(e.getMessage().contains("got -Infinity"), e.getMessage());
      }
      assertTrue(Arrays.equals(before, weights(dir)), "the folder stays as it was");
    }
  }
}
