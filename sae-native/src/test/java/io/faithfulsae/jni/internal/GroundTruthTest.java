package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.metrics.GroundTruth;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.synthetic.PerFeature;
import io.faithfulsae.synthetic.SyntheticFeatures;
import io.faithfulsae.synthetic.SyntheticFeatures.Layout;
import io.faithfulsae.synthetic.SyntheticFeatures.Magnitude;
import io.faithfulsae.synthetic.SyntheticFeatures.Superposition;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingRun;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;
import org.junit.jupiter.api.io.TempDir;

/**
 * The trainer recovers known directions, with and without a fixed decoder, and reconstructs as well
 * as its PyTorch counterpart.
 */
@Tag("slow")
class GroundTruthTest {
  private static final int HELD_OUT = 10_000;

  @TempDir Path folder;

  @Test
  void findsTheDirectionsOfASuperposition() throws IOException, InterruptedException {
    JsonNode golden = new JsonMapper().readTree(Goldens.copy("ground_truth.json", folder).toFile());
    int dIn = golden.get("d_in").asInt();
    int batch = golden.get("batch").asInt();
    int heldOut = golden.get("held_out").asInt();
    long tokens = golden.get("steps").asLong() * batch;
    Superposition source =
        SyntheticFeatures.superposition(
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
        double found = Metrics.groundTruth(sae, source, 1, 0.9).recovered();
        assertTrue(found >= 0.97, "share of directions found at cosine > 0.9: " + found);
        double expected = golden.get("fvu").asDouble();
        assertEquals(
            expected, fvu(sae, source, tokens, heldOut), 0.03 * expected, "FVU of PyTorch's run");
      }
    }
  }

  @Test
  void findsEightTimesAsManyFeaturesAsThereAreDimensions(TestReporter reporter)
      throws IOException, InterruptedException {
    SyntheticFeatures features =
        SyntheticFeatures.builder(512, 64)
            .firing(PerFeature.constant(2.0 / 512))
            .magnitude(Magnitude.UNIFORM)
            .build();
    TrainingConfig training = training(512 * 1000).lr(3e-3).build();
    try (Backend backend = new CpuBackendProvider().open();
        Sae sae = trained(SaeConfig.topK(64, 1024, 4), training, features, backend)) {
      GroundTruth seen = Metrics.groundTruth(sae, heldOut(features), HELD_OUT, 0.9);
      reporter.publishEntry("share of features found", "" + seen.recovered());
      reporter.publishEntry("share of noise features", "" + seen.noiseShare());
      assertTrue(seen.recovered() >= 0.9, "found " + seen.recovered());
      // 512 of 1,024 latents can each match a feature; the rest are left over.
      assertTrue(seen.noiseShare() < 0.56, "noise features " + seen.noiseShare());
      assertTrue(seen.meanCorrelation() > 0.95, "mean correlation " + seen.meanCorrelation());
      // Latents that match a feature fire when it does.
      double f1 =
          seen.latents().stream()
              .filter(latent -> latent.cosine() > 0.9)
              .mapToDouble(GroundTruth.Latent::f1)
              .average()
              .orElseThrow();
      assertTrue(f1 > 0.6, "F1 of latents that match a feature " + f1);
    }
  }

  @Test
  void trainsAnEncoderForAFixedDecoder() throws IOException, InterruptedException {
    SyntheticFeatures features =
        SyntheticFeatures.builder(96, 64)
            .layout(Layout.EVEN)
            .firing(PerFeature.constant(2.0 / 96))
            .deviation(PerFeature.constant(0.1))
            .build();
    Superposition truth = heldOut(features);
    SaeConfig config = SaeConfig.topK(64, 96, 5);
    TrainingConfig training =
        training(512 * 1000).lr(3e-3).trainEncoderBias(true).freezeDecoder(true).build();
    try (Backend backend = new CpuBackendProvider().open();
        Sae start = Sae.ofDirections(config, truth.directions(), backend)) {
      writeRandomEncoder(start);
      double before = Metrics.groundTruth(start, truth, HELD_OUT, 0.9).f1();
      assertTrue(before < 0.1, "F1 of a random encoder " + before);
      Path dir = folder.resolve("fixed");
      try (TrainingRun run =
          SaeTrainer.of(config, training, backend)
              .withInitial(start)
              .start(features.source(training.rows().tokens(), 1), dir)) {
        run.await();
      }
      try (Sae sae = Sae.load(dir, backend)) {
        for (int latent = 0; latent < 96; latent++) {
          assertArrayEquals(
              truth.directions()[latent], sae.decoderDirection(latent), "latent " + latent);
        }
        GroundTruth seen = Metrics.groundTruth(sae, truth, HELD_OUT, 0.9);
        assertEquals(1, seen.recovered());
        assertTrue(seen.f1() > 0.75, "F1 " + seen.f1());
        assertTrue(seen.reconstruction().fvu() < 0.05, "FVU " + seen.reconstruction().fvu());
      }
    }
  }

  private static TrainingConfig.Builder training(long tokens) {
    return TrainingConfig.builder()
        .tokens(tokens)
        .batch(512)
        .bufferRows(16 * 512)
        .checkpointSteps(0);
  }

  private static Superposition heldOut(SyntheticFeatures features) {
    return features.source(HELD_OUT, 2);
  }

  private Sae trained(
      SaeConfig config, TrainingConfig training, SyntheticFeatures features, Backend backend)
      throws IOException, InterruptedException {
    Path dir = folder.resolve("trained");
    try (TrainingRun run =
        SaeTrainer.of(config, training, backend)
            .start(features.source(training.rows().tokens(), 1), dir)) {
      run.await();
    }
    return Sae.load(dir, backend);
  }

  private static void writeRandomEncoder(Sae sae) {
    Random random = new Random(3);
    int size = sae.config().dIn() * sae.config().dSae();
    FloatBuffer weights =
        ByteBuffer.allocateDirect(size * Float.BYTES)
            .order(ByteOrder.nativeOrder())
            .asFloatBuffer();
    for (int i = 0; i < size; i++) {
      weights.put(i, (float) (0.01 * random.nextGaussian()));
    }
    sae.parameters().write(Tensor.W_ENC, 0, weights);
  }

  /** The golden script reimplements the source; this checks that both still agree. */
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
