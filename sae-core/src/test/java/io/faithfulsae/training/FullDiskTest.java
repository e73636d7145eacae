package io.faithfulsae.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.common.jimfs.Configuration;
import com.google.common.jimfs.Jimfs;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.synthetic.SyntheticFeatures;
import io.faithfulsae.synthetic.SyntheticFeatures.Magnitude;
import java.io.IOException;
import java.nio.file.FileSystem;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Runs on a disk with room for one checkpoint but not for two. */
class FullDiskTest {
  private static final ActivationSource SOURCE =
      SyntheticFeatures.superposition(12, 8, 2, Magnitude.UNIFORM, 0, 100, 5);
  private static final TrainingConfig CONFIG =
      TrainingConfig.builder().tokens(20 * 16).batch(16).bufferRows(64).checkpointSteps(5).build();

  @TempDir Path folder;

  @Test
  void saysThatTheDiskIsFullAndKeepsTheOldCheckpoint() throws IOException, InterruptedException {
    Configuration small =
        Configuration.unix().toBuilder().setBlockSize(256).setMaxSize(10_000).build();
    Path healthy = folder.resolve("healthy");
    Path rescued = Files.createDirectory(folder.resolve("rescued"));
    try (Backend backend = new ReferenceBackend();
        FileSystem disk = Jimfs.newFileSystem(small)) {
      Path dir = disk.getPath("/work/run");
      SaeTrainer trainer = SaeTrainer.of(SaeConfig.topK(8, 24, 3), CONFIG, backend);
      try (TrainingRun run = trainer.start(SOURCE, dir)) {
        IOException e = assertThrows(IOException.class, run::await);
        assertTrue(
            e.getMessage().startsWith("cannot write /work/run/checkpoint-10.safetensors: "),
            e.getMessage());
        assertTrue(e.getMessage().contains("out of disk space"), e.getMessage());
      }
      Path kept = dir.resolve("checkpoint-5.safetensors");
      try (Stream<Path> files = Files.list(dir)) {
        assertEquals(kept.toString(), String.join(" ", files.map(Path::toString).toList()));
      }
      Files.copy(kept, rescued.resolve("checkpoint-5.safetensors"));
      try (TrainingRun run = trainer.resume(SOURCE, rescued);
          TrainingRun whole = trainer.start(SOURCE, healthy)) {
        run.await();
        whole.await();
      }
    }
    assertArrayEquals(
        Files.readAllBytes(healthy.resolve("sae_weights.safetensors")),
        Files.readAllBytes(rescued.resolve("sae_weights.safetensors")));
  }
}
