package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationSource;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.synthetic.SyntheticFeatures;
import io.faithfulsae.synthetic.SyntheticFeatures.Magnitude;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A run whose process is killed resumes in another process and ends bit-identical to an
 * uninterrupted run.
 */
class KilledRunTest {
  private static final ActivationSource SOURCE =
      SyntheticFeatures.superposition(64, 32, 3, Magnitude.UNIFORM, 0.01, 5000, 1);
  private static final TrainingConfig CONFIG =
      TrainingConfig.builder()
          .tokens(256 * 400)
          .batch(256)
          .bufferRows(2048)
          .lr(1e-3)
          .checkpointSteps(7)
          .build();

  @TempDir Path folder;

  @Test
  void resumesToTheSameBits() throws IOException, InterruptedException {
    Path killed = folder.resolve("killed");
    Path whole = folder.resolve("whole");
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                KilledRunTest.class.getName(),
                killed.toString())
            .inheritIO()
            .start();
    while (process.isAlive() && !hasCheckpoint(killed)) {
      Thread.sleep(5);
    }
    process.destroyForcibly().waitFor();
    assertTrue(hasCheckpoint(killed), "the process must leave a checkpoint");
    assertFalse(
        Files.exists(killed.resolve("cfg.json")), "the process must be killed before its end");
    try (Backend backend = new CpuBackendProvider().open()) {
      SaeTrainer trainer = trainer(backend);
      try (TrainingRun run = trainer.resume(SOURCE, killed)) {
        run.await();
      }
      try (TrainingRun run = trainer.start(SOURCE, whole)) {
        run.await();
      }
    }
    assertArrayEquals(weights(whole), weights(killed));
  }

  /** The process to be killed. */
  public static void main(String[] args) throws IOException, InterruptedException {
    try (Backend backend = new CpuBackendProvider().open();
        TrainingRun run = trainer(backend).start(SOURCE, Path.of(args[0]))) {
      run.listen(
          progress -> {
            if (progress.step() > 20) {
              pause(); // gives the test time to look
            }
          });
      run.await();
    }
  }

  private static void pause() {
    try {
      Thread.sleep(50);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private static SaeTrainer trainer(Backend backend) {
    return SaeTrainer.of(SaeConfig.topK(32, 128, 4), CONFIG, backend);
  }

  private static boolean hasCheckpoint(Path dir) throws IOException {
    if (!Files.isDirectory(dir)) {
      return false;
    }
    try (Stream<Path> files = Files.list(dir)) {
      return files.anyMatch(file -> file.getFileName().toString().startsWith("checkpoint-"));
    }
  }

  private static byte[] weights(Path dir) throws IOException {
    return Files.readAllBytes(dir.resolve("sae_weights.safetensors"));
  }
}
