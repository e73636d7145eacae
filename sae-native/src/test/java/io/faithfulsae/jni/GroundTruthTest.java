package io.faithfulsae.jni;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.ActivationSources.Magnitude;
import io.faithfulsae.ActivationSources.Superposition;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.golden.Goldens;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingRun;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The trainer finds known directions, and reconstructs as well as its re-statement in PyTorch does.
 */
class GroundTruthTest {
  @TempDir Path folder;

  @Test
  void findsTheDirectionsOfASuperposition() throws IOException, InterruptedException {
    JsonNode golden = new JsonMapper().readTree(Goldens.copy("ground_truth.json", folder).toFile());
    int dIn = golden.get("d_in").asInt();
    int batch = golden.get("batch").asInt();
    int heldOut = golden.get("held_out").asInt();
    long tokens = golden.get("steps").asLong() * batch;
    Superposition source =
        ActivationSources.superposition(
            golden.get("features").asInt(),
            dIn,
            golden.get("l0").asDouble(),
            Magnitude.UNIFORM,
            0,
            tokens + heldOut,
            golden.get("data_seed").asLong());
    TrainingConfig training =
        TrainingConfig.builder()
            .tokens(tokens)
            .batch(batch)
            .bufferRows(32 * batch)
            .lr(golden.get("lr").asDouble())
            .seed(golden.get("seed").asLong())
            .checkpointSteps(0)
            .build();
    SaeConfig config = SaeConfig.topK(dIn, golden.get("d_sae").asInt(), golden.get("k").asInt());
    Path dir = folder.resolve("run");
    try (Backend backend = new CpuBackendProvider().open()) {
      assertSameRows(golden.get("first_elements"), source, backend);
      try (TrainingRun run = SaeTrainer.of(config, training, backend).start(source, dir)) {
        run.await();
      }
      try (Sae sae = Sae.load(dir, backend)) {
        double found = found(sae, source.directions());
        assertTrue(found >= 0.97, "share of directions found at cosine > 0.9: " + found);
        double expected = golden.get("fvu").asDouble();
        assertEquals(
            expected, fvu(sae, source, tokens, heldOut), 0.03 * expected, "FVU of PyTorch's run");
      }
    }
  }

  /** The golden script re-states the source; this says that it still does. */
  private static void assertSameRows(JsonNode expected, Superposition source, Backend backend)
      throws IOException {
    try (ActivationBatch row = ActivationBatch.allocate(backend, 1, source.dIn());
        ActivationReader reader = source.open(5)) {
      reader.read(row);
      for (int i = 0; i < expected.size(); i++) {
        assertEquals(expected.get(i).asDouble(), row.data().get(i), 1e-5);
      }
    }
  }

  private static double found(Sae sae, float[][] directions) {
    int found = 0;
    for (float[] direction : directions) {
      double best = 0;
      for (int latent = 0; latent < sae.config().dSae(); latent++) {
        float[] row = sae.decoderDirection(latent);
        double dot = 0;
        double squares = 0;
        for (int i = 0; i < row.length; i++) {
          dot += row[i] * direction[i];
          squares += row[i] * row[i];
        }
        best = Math.max(best, dot / Math.sqrt(squares));
      }
      found += best > 0.9 ? 1 : 0;
    }
    return (double) found / directions.length;
  }

  private static double fvu(Sae sae, Superposition source, long first, int rows)
      throws IOException {
    int d = sae.config().dIn();
    try (ActivationBatch x = ActivationBatch.allocate(sae.backend(), rows, d);
        ActivationBatch decoded = ActivationBatch.allocate(sae.backend(), rows, d);
        ActivationReader reader = source.open(first)) {
      assertEquals(rows, reader.read(x));
      try (Latents latents = sae.encode(x)) {
        sae.decode(latents, decoded);
      }
      double[] mean = new double[d];
      FloatBuffer data = x.data();
      FloatBuffer result = decoded.data();
      for (int at = 0; at < rows * d; at++) {
        mean[at % d] += data.get(at) / (double) rows;
      }
      double error = 0;
      double variance = 0;
      for (int at = 0; at < rows * d; at++) {
        error += Math.pow(data.get(at) - result.get(at), 2);
        variance += Math.pow(data.get(at) - mean[at % d], 2);
      }
      return error / variance;
    }
  }
}
