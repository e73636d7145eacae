package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import io.faithfulsae.models.generate.FaithfulDataset;
import io.faithfulsae.models.generate.GenerationConfig;
import io.faithfulsae.spi.Backend;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Data sets sampled in a backend's memory. */
class DeviceDatasetTest {
  private final Path folder = GoldenModels.folder("gpt2-tied");
  @TempDir Path temp;

  @Test
  void hasTheRecordsThatTheHostSamples() throws Exception {
    SharedMemory.assume();
    assumeFalse(SharedMemory.onGpu(), "the host computes in float32");
    for (double topP : new double[] {1, 0.9}) {
      GenerationConfig config = new GenerationConfig(3_000, 20, 0.9, topP, 5, 7);
      List<String> onHost;
      try (OnnxModel model = OnnxModel.open(folder, new OnnxModel.Options(1))) {
        onHost = write(model, config, "host-" + topP);
      }
      try (Backend backend = SharedMemory.backend();
          OnnxModel model = OnnxModel.open(folder, SharedMemory.options(), backend)) {
        assertEquals(onHost, write(model, config, "device-" + topP));
        assertTrue(model.onDevice());
      }
    }
  }

  @Test
  void doesNotDependOnTheBatch() throws Exception {
    SharedMemory.assume();
    assumeFalse(SharedMemory.onGpu(), "products of other shapes round differently in 16 bits");
    try (Backend backend = SharedMemory.backend();
        OnnxModel model = OnnxModel.open(folder, SharedMemory.options(), backend)) {
      List<String> few = write(model, new GenerationConfig(2_000, 20, 1, 1, 8, 3), "few");
      assertEquals(few, write(model, new GenerationConfig(2_000, 20, 1, 1, 8, 16), "many"));
    }
  }

  private List<String> write(OnnxModel model, GenerationConfig config, String name)
      throws Exception {
    Path file = temp.resolve(name + ".jsonl");
    try (Tokenizer tokenizer = Tokenizer.open(folder)) {
      FaithfulDataset.Result result =
          FaithfulDataset.write(model, tokenizer, config, file, progress -> true);
      assertTrue(result.complete() && result.records() > 50, result.toString());
    }
    return Files.readAllLines(file);
  }
}
