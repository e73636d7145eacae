package io.faithfulsae.golden;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationSources;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.BackendTrainer.StepStats;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingProgress;
import io.faithfulsae.training.TrainingRun;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * 200 steps from the same weights on the same batches give the losses and weights of the authors'
 * PyTorch trainer (make_training_goldens.py). A subclass opens the backend.
 */
public abstract class TrainingParityTest {
  private static final int STEPS = 200;
  private static final int BATCH = 32;
  private static final int D_IN = 16;
  private static final int D_SAE = 64;
  private static final int K = 4;

  /**
   * The documented parity tolerances; both sides compute in float32 and sum in different orders.
   */
  private static final double LOSS_TOLERANCE = 1e-4;

  private static final double WEIGHT_TOLERANCE = 1e-3;

  private static final TrainingConfig CONFIG =
      TrainingConfig.builder()
          .tokens((long) STEPS * BATCH)
          .batch(BATCH)
          .bufferRows(BATCH)
          .lr(2e-3)
          .auxK(12)
          .checkpointSteps(0)
          .build();

  @TempDir Path folder;
  private Backend backend;
  private Safetensors golden;

  /** Opens the backend under test. */
  protected abstract Backend open();

  @BeforeEach
  void openAll() throws IOException {
    backend = open();
    golden = Safetensors.open(Goldens.copy("training_parity.safetensors", folder));
  }

  @AfterEach
  void closeAll() {
    golden.close();
    backend.close();
  }

  @Test
  void stepsOfTheBackendAreTheAuthors() throws IOException {
    float[] loss = Goldens.floats(golden, "loss");
    float[] aux = Goldens.floats(golden, "aux");
    float[] l0 = Goldens.floats(golden, "l0");
    int mostDead = 0;
    int auxSteps = 0;
    try (BackendSae sae = backend.createSae(D_IN, D_SAE, true);
        DeviceBuffer x = backend.allocate((long) BATCH * D_IN * Float.BYTES)) {
      sae.write(Tensor.W_ENC, 0, direct("W_enc.start"));
      sae.write(Tensor.W_DEC, 0, direct("W_dec.start"));
      try (BackendTrainer trainer = sae.trainer(K, CONFIG.step())) {
        for (int step = 0; step < STEPS; step++) {
          golden.readFloats("batches", (long) step * BATCH * D_IN, x.host().asFloatBuffer());
          trainer.step(x, BATCH, CONFIG.lrAt(step));
          StepStats stats = trainer.stats();
          assertEquals(
              loss[step], stats.loss(), LOSS_TOLERANCE * loss[step], "loss of step " + step);
          assertEquals(aux[step], stats.aux(), LOSS_TOLERANCE * loss[step], "aux of step " + step);
          assertEquals(l0[step], stats.l0(), 1e-6, "l0 of step " + step);
          mostDead = (int) Math.max(mostDead, stats.dead());
          auxSteps += stats.aux() > 0 ? 1 : 0;
        }
      }
      assertWeights("W_enc", read(sae, Tensor.W_ENC, D_SAE * D_IN));
      assertWeights("W_dec", read(sae, Tensor.W_DEC, D_SAE * D_IN));
      assertWeights("b_dec", read(sae, Tensor.B_DEC, D_IN));
    }
    assertTrue(
        mostDead > CONFIG.step().aux().k(),
        "the run must have more dead latents than the aux loss takes, got " + mostDead);
    assertTrue(
        auxSteps > STEPS / 2, "the run must exercise the aux loss, got " + auxSteps + " steps");
  }

  /** Each batch in two unequal parts, as PyTorch accumulates gradients (make_parts_golden.py). */
  @Test
  void partsAreWhatTorchAccumulates() throws IOException {
    int cut = 20;
    try (Safetensors parts = Safetensors.open(Goldens.copy("training_parts.safetensors", folder));
        BackendSae sae = backend.createSae(D_IN, D_SAE, true);
        DeviceBuffer x = backend.allocate((long) BATCH * D_IN * Float.BYTES)) {
      float[] loss = Goldens.floats(parts, "loss");
      float[] aux = Goldens.floats(parts, "aux");
      sae.write(Tensor.W_ENC, 0, direct("W_enc.start"));
      sae.write(Tensor.W_DEC, 0, direct("W_dec.start"));
      try (BackendTrainer trainer = sae.trainer(K, CONFIG.step(), Gradients.KEPT)) {
        for (int step = 0; step < STEPS; step++) {
          golden.readFloats("batches", (long) step * BATCH * D_IN, x.host().asFloatBuffer());
          trainer.accumulate(x, 0, cut);
          trainer.accumulate(x, cut, BATCH - cut);
          trainer.apply(CONFIG.lrAt(step));
          StepStats stats = trainer.stats();
          assertEquals(
              loss[step], stats.loss(), LOSS_TOLERANCE * loss[step], "loss of step " + step);
          assertEquals(aux[step], stats.aux(), LOSS_TOLERANCE * loss[step], "aux of step " + step);
        }
      }
      assertWeights(parts, "W_enc", read(sae, Tensor.W_ENC, D_SAE * D_IN));
      assertWeights(parts, "W_dec", read(sae, Tensor.W_DEC, D_SAE * D_IN));
      assertWeights(parts, "b_dec", read(sae, Tensor.B_DEC, D_IN));
    }
  }

  @Test
  void runsOfTheTrainerAreTheAuthors() throws IOException, InterruptedException {
    float[] loss = Goldens.floats(golden, "loss");
    float[] rows = Goldens.floats(golden, "batches");
    List<TrainingProgress> received = new ArrayList<>();
    SaeConfig config = SaeConfig.topK(D_IN, D_SAE, K);
    Path dir = folder.resolve("run");
    try (Sae start = Sae.create(config, backend)) {
      start.parameters().write(Tensor.W_ENC, 0, direct("W_enc.start"));
      start.parameters().write(Tensor.W_DEC, 0, direct("W_dec.start"));
      SaeTrainer trainer =
          SaeTrainer.of(config, CONFIG, backend).withInitial(start).withListener(received::add);
      try (TrainingRun run = trainer.start(ActivationSources.ofArray(rows, D_IN), dir)) {
        assertEquals(STEPS, run.await().steps());
      }
    }
    assertEquals(STEPS, received.size());
    for (int step = 0; step < STEPS; step++) {
      assertEquals(
          loss[step],
          received.get(step).loss(),
          LOSS_TOLERANCE * loss[step],
          "loss of step " + step);
    }
    try (Sae trained = Sae.load(dir, backend)) {
      assertWeights("W_enc", read(trained.parameters(), Tensor.W_ENC, D_SAE * D_IN));
      assertWeights("W_dec", read(trained.parameters(), Tensor.W_DEC, D_SAE * D_IN));
      assertWeights("b_dec", read(trained.parameters(), Tensor.B_DEC, D_IN));
    }
  }

  private void assertWeights(String name, float[] actual) throws IOException {
    assertWeights(golden, name, actual);
  }

  private static void assertWeights(Safetensors expected, String name, float[] actual)
      throws IOException {
    double error = Goldens.relativeError(actual, Goldens.floats(expected, name));
    assertTrue(error <= WEIGHT_TOLERANCE, () -> name + " is off by " + error);
  }

  private FloatBuffer direct(String name) throws IOException {
    float[] values = Goldens.floats(golden, name);
    FloatBuffer buffer = allocate(values.length);
    return buffer.put(0, values);
  }

  private static float[] read(BackendSae sae, Tensor tensor, int size) {
    FloatBuffer buffer = allocate(size);
    sae.read(tensor, 0, buffer);
    float[] values = new float[size];
    buffer.get(0, values);
    return values;
  }

  private static FloatBuffer allocate(int floats) {
    return ByteBuffer.allocateDirect(floats * Float.BYTES)
        .order(ByteOrder.nativeOrder())
        .asFloatBuffer();
  }
}
