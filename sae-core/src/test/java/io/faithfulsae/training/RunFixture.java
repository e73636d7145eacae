package io.faithfulsae.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.synthetic.SyntheticFeatures;
import io.faithfulsae.synthetic.SyntheticFeatures.Magnitude;
import io.faithfulsae.training.TrainingConfig.DecoderBiasInit;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** A small training run, with helpers for tests. */
abstract class RunFixture {
  static final int D_IN = 8;
  static final int STEPS = 20;

  /**
   * 100 rows, shuffled four batches of 16 at a time, for 320 tokens: fills wrap around the end of
   * the source.
   */
  static final ActivationSource SOURCE =
      SyntheticFeatures.superposition(12, D_IN, 2, Magnitude.UNIFORM, 0.01, 100, 5);

  static final SaeConfig SAE = SaeConfig.topK(D_IN, 24, 3);
  static final TrainingConfig CONFIG =
      TrainingConfig.builder()
          .tokens(16 * STEPS + 3)
          .batch(16)
          .bufferRows(70)
          .lr(1e-2)
          .seed(3)
          .warmupSteps(4)
          .decaySteps(5)
          .decoderBiasInit(DecoderBiasInit.GEOMETRIC_MEDIAN)
          .scaleActivations(true)
          .checkpointSteps(5)
          .build();

  @TempDir Path folder;
  Backend backend;

  /** Opens the backend under test. */
  protected abstract Backend open();

  @BeforeEach
  void openBackend() {
    backend = open();
  }

  @AfterEach
  void closeBackend() {
    assertEquals(0, backend.liveBytes(), "a run that is over holds nothing");
    backend.close();
  }

  SaeTrainer trainer(TrainingConfig config) {
    return SaeTrainer.of(SAE, config, backend);
  }

  Path run(TrainingConfig config, String name) throws IOException, InterruptedException {
    Path dir = folder.resolve(name);
    finish(trainer(config).start(SOURCE, dir));
    return dir;
  }

  /** A run that cancels itself after {@code stop} steps. */
  TrainingRun start(TrainingConfig config, Path dir, int stop) throws IOException {
    Canceller canceller = new Canceller(stop);
    TrainingRun run = trainer(config).withListener(canceller).start(SOURCE, dir);
    canceller.run = run;
    return run;
  }

  static TrainingRun resume(SaeTrainer trainer, Path dir, int stop) throws IOException {
    Canceller canceller = new Canceller(stop);
    TrainingRun run = trainer.withListener(canceller).resume(SOURCE, dir);
    canceller.run = run;
    return run;
  }

  static final class Canceller implements Consumer<TrainingProgress> {
    private final int stop;
    volatile TrainingRun run;

    Canceller(int stop) {
      this.stop = stop;
    }

    @Override
    public void accept(TrainingProgress progress) {
      if (progress.step() == stop) {
        while (run == null) {
          Thread.onSpinWait();
        }
        run.cancel();
      }
    }
  }

  static SaeTrainer failingAt(SaeTrainer trainer, int step) {
    return trainer.withListener(
        p -> {
          if (p.step() == step) {
            throw new UnsupportedOperationException("crash");
          }
        });
  }

  static void crash(SaeTrainer trainer, Path dir, int step) throws IOException {
    TrainingRun run = failingAt(trainer, step).start(SOURCE, dir);
    assertThrows(UnsupportedOperationException.class, () -> finish(run));
  }

  /** A run that crashed and was resumed gives the weights of one that nothing happened to. */
  void assertResumesToTheSameBits(SaeTrainer trainer) throws IOException, InterruptedException {
    Path whole = folder.resolve("whole");
    finish(trainer.start(SOURCE, whole));
    Path dir = folder.resolve("interrupted");
    crash(trainer, dir, 13);
    finish(trainer.resume(SOURCE, dir));
    assertArrayEquals(weights(whole), weights(dir));
  }

  static TrainingResult finish(TrainingRun run) throws IOException, InterruptedException {
    try (run) {
      return run.await();
    }
  }

  static byte[] weights(Path dir) throws IOException {
    return Files.readAllBytes(dir.resolve("sae_weights.safetensors"));
  }

  static List<String> files(Path dir) throws IOException {
    try (var files = Files.list(dir)) {
      return files.map(f -> f.getFileName().toString()).sorted().toList();
    }
  }

  float[] rows() throws IOException {
    float[] rows = new float[100 * D_IN];
    try (ActivationBatch batch = ActivationBatch.allocate(backend, 100, D_IN);
        ActivationReader reader = SOURCE.open(0)) {
      assertEquals(100, reader.read(batch));
      batch.data().get(rows);
    }
    return rows;
  }

  static double meanNormOfFirst(float[] rows, int count) {
    double sum = 0;
    for (int r = 0; r < count; r++) {
      double squares = 0;
      for (int i = 0; i < D_IN; i++) {
        squares += (double) rows[r * D_IN + i] * rows[r * D_IN + i];
      }
      sum += Math.sqrt(squares);
    }
    return sum / count;
  }

  /** The same rows from index {@code first} on; counts how often it is opened. */
  static ActivationSource counted(AtomicInteger opened, long first) {
    return new ActivationSource() {
      @Override
      public int dIn() {
        return D_IN;
      }

      @Override
      public String description() {
        return "counted " + SOURCE.description();
      }

      @Override
      public ActivationReader open(long position) throws IOException {
        opened.incrementAndGet();
        return SOURCE.open(Math.max(first, position));
      }
    };
  }

  static void assertMessage(Class<? extends Exception> type, Executable action, String... parts) {
    String message = String.valueOf(assertThrows(type, action).getMessage());
    for (String part : parts) {
      assertTrue(message.contains(part), () -> "expected \"" + part + "\" in: " + message);
    }
  }
}
