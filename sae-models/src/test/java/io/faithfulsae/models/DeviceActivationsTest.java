package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.HookPoint;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.TokenSource;
import io.faithfulsae.models.tokens.TokenSources;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingConfig.DecoderBiasInit;
import io.faithfulsae.training.TrainingRun;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * From tokens to an SAE in memory that the host cannot address; the CPU backend can emulate this.
 */
class DeviceActivationsTest {
  private static final HookPoint HOOK = HookPoint.residPre(1);
  private static final int[][] TEXT = {
    {3, 5, 7, 2, 9}, {3, 8, 8, 1}, {3, 2, 6, 11, 5, 4}, {3, 1}, {3, 12, 7, 7, 2}
  };

  private final Path folder = GoldenModels.folder("qwen3");
  private final OnnxModel.Options options = SharedMemory.options();

  @Test
  void aSourceReadsTheRowsThatTheHostReads() throws Exception {
    SharedMemory.assume();
    assumeFalse(SharedMemory.onGpu(), "the host computes in float32");
    TokenSource text = TokenSources.ofSequences("text", TEXT);
    List<List<Float>> expected;
    ActivationFilter filter;
    ActivationFilter.Counts counts;
    try (OnnxModel onHost = OnnxModel.open(folder, options);
        Backend backend = SharedMemory.backend()) {
      ActivationFilter loose = new ActivationFilter(1, Set.of(7), Double.POSITIVE_INFINITY);
      double median = loose.norms(onHost, HOOK, text, 2, TEXT.length).median();
      filter = loose.withMaxNorm(median); // leaves out about half by norm
      try (ActivationReader reader =
          ActivationSources.ofModel(onHost, HOOK, text, filter, 2).open(0)) {
        expected = rows(reader, backend, onHost.dModel());
        counts = reader.counts();
      }
      assertTrue(counts.byNorm() > 0 && counts.byToken() > 0, counts.toString());
    }
    try (Backend backend = SharedMemory.backend();
        OnnxModel model = OnnxModel.open(folder, options, backend)) {
      ActivationSource source = ActivationSources.ofModel(model, HOOK, text, filter, 2);
      try (ActivationReader reader = source.open(0)) {
        assertEquals(expected, rows(reader, backend, model.dModel()));
        assertEquals(counts, reader.counts());
      }
    }
  }

  private static List<List<Float>> rows(ActivationReader reader, Backend on, int width)
      throws Exception {
    List<List<Float>> all = new ArrayList<>();
    try (ActivationBatch batch = ActivationBatch.allocate(on, 4, width)) {
      while (reader.read(batch) >= 0) {
        for (int row = 0; row < batch.rows(); row++) {
          List<Float> values = new ArrayList<>();
          for (int i = 0; i < width; i++) {
            values.add(batch.data().get(row * width + i));
          }
          all.add(values);
        }
        batch.rows(0);
      }
    }
    return all;
  }

  @Test
  void anSaeEncodesThemWithoutTheHost() throws Exception {
    SharedMemory.assume();
    try (Backend backend = SharedMemory.backend();
        OnnxModel model = OnnxModel.open(folder, options, backend);
        DeviceBuffer memory = backend.allocateOnDevice(4L * model.dModel() * Float.BYTES);
        ActivationBatch batch = ActivationBatch.over(memory, 4, model.dModel());
        BackendSae sae = backend.createSae(model.dModel(), model.dModel(), false);
        var tapped = model.deviceActivations(HOOK, new int[][] {TEXT[0]}).orElseThrow()) {
      assertThrows(UnsupportedOperationException.class, batch::data);
      int width = model.dModel();
      FloatBuffer plain = FloatRows.allocate(TEXT[0].length, width);
      model.activations(HOOK, new int[][] {TEXT[0]}, plain);
      tapped.copy(new int[] {4, 0, 2}, 3, batch, 1);
      batch.rows(4);
      // An SAE whose latents are the columns: a row's first latent is its largest element.
      FloatBuffer identity = FloatRows.allocate(width, width);
      for (int i = 0; i < width; i++) {
        identity.put(i * width + i, 1);
      }
      sae.write(BackendSae.Tensor.W_ENC, 0, identity);
      try (DeviceBuffer indices = backend.allocate(4L * Integer.BYTES);
          DeviceBuffer values = backend.allocate(4L * Float.BYTES)) {
        sae.encodeTopK(batch.buffer(), 4, 1, indices, values);
        backend.synchronize();
        int[] rows = {4, 0, 2};
        for (int row = 0; row < 3; row++) {
          float largest = Float.NEGATIVE_INFINITY;
          double squares = 0;
          for (int i = 0; i < width; i++) {
            float value = plain.get(rows[row] * width + i);
            largest = Math.max(largest, value);
            squares += (double) value * value;
          }
          assertEquals(largest, values.host().asFloatBuffer().get(row + 1));
          assertEquals(Math.sqrt(squares), tapped.norm(rows[row]), 1e-5 * Math.sqrt(squares));
        }
        assertEquals(0, values.host().asFloatBuffer().get(0), "row 0 was not written");
      }
      assertThrows(IllegalArgumentException.class, () -> tapped.copy(new int[] {5}, 1, batch, 0));
      assertThrows(
          IllegalArgumentException.class, () -> tapped.copy(new int[] {0, 1}, 2, batch, 3));
    }
  }

  @Test
  void aTrainerKeepsTheRowsThere(@TempDir Path runs) throws Exception {
    SharedMemory.assume();
    assumeFalse(SharedMemory.onGpu(), "the host computes in float32");
    TokenSource text = TokenSources.ofSequences("text", TEXT);
    TrainingConfig config =
        TrainingConfig.builder()
            .tokens(48)
            .batch(4)
            .bufferRows(12) // fills end inside a batch of the model and cross the end of the text
            .scaleActivations(true)
            .decoderBiasInit(DecoderBiasInit.MEAN)
            .build();
    for (String place : List.of("host", "device")) {
      try (Backend backend = SharedMemory.backend();
          OnnxModel model =
              place.equals("device")
                  ? OnnxModel.open(folder, options, backend)
                  : OnnxModel.open(folder, options)) {
        ActivationSource source =
            ActivationSources.ofModel(model, HOOK, text, ActivationFilter.NONE, 2);
        assertEquals(place.equals("device"), source.fillsOnDevice(backend));
        SaeConfig sae = SaeConfig.topK(model.dModel(), 2 * model.dModel(), 4);
        try (TrainingRun run =
            SaeTrainer.of(sae, config, backend).start(source, runs.resolve(place))) {
          run.await();
        }
      }
    }
    String weights = "sae_weights.safetensors";
    assertEquals(
        -1,
        Files.mismatch(
            runs.resolve("host").resolve(weights), runs.resolve("device").resolve(weights)));
  }

  @Test
  void twoReadersDoNotTakeEachOthersRows() throws Exception {
    SharedMemory.assume();
    TokenSource text = TokenSources.ofSequences("text", TEXT);
    try (Backend backend = SharedMemory.backend();
        OnnxModel model = OnnxModel.open(folder, options, backend)) {
      ActivationSource source =
          ActivationSources.ofModel(model, HOOK, text, ActivationFilter.NONE, 2);
      List<List<Float>> alone;
      try (ActivationReader reader = source.open(0)) {
        alone = rows(reader, backend, model.dModel());
      }
      try (ActivationReader one = source.open(0);
          ActivationReader other = source.open(0);
          ActivationBatch batch = ActivationBatch.allocate(backend, 1, model.dModel())) {
        other.read(batch);
        assertEquals(alone, rows(one, backend, model.dModel()));
        assertEquals(alone.subList(1, alone.size()), rows(other, backend, model.dModel()));
      }
    }
  }
}
