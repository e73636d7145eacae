package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.Sae;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ReconstructionTest {
  private final Backend backend = new ReferenceBackend();
  @TempDir Path folder;

  @AfterEach
  void close() {
    assertEquals(0, backend.liveBytes());
    backend.close();
  }

  @Test
  void explainedVarianceHasAnInterval() throws IOException {
    Random random = new Random(3);
    float[] rows = new float[300 * 2];
    for (int i = 0; i < rows.length; i++) {
      rows[i] = 5 + (float) random.nextGaussian();
    }
    try (Sae sae = Given.sae(backend, 1, Given.axis(2, 0, 1), Given.axis(2, 1, 1))) {
      ActivationSource source = ActivationSources.ofArray(rows, 2);
      Reconstruction seen = Metrics.reconstruction(sae, source, Long.MAX_VALUE);
      // 1, 2, 4 and finally 8 rows per block: 38 blocks, the last with 4 rows.
      assertEquals(38, seen.blocks().size());
      assertEquals(8, seen.blocks().get(0).rows());
      assertEquals(4, seen.blocks().get(37).rows());
      double error = seen.blocks().stream().mapToDouble(Reconstruction.Block::squaredError).sum();
      double variance = seen.blocks().stream().mapToDouble(Reconstruction.Block::variance).sum();
      assertEquals(seen.l2() * rows.length, error, 1e-9);
      double mean0 = 0;
      double mean1 = 0;
      for (int r = 0; r < 300; r++) {
        mean0 += rows[2 * r] / 300.0;
        mean1 += rows[2 * r + 1] / 300.0;
      }
      double expected = 0;
      for (int r = 0; r < 300; r++) {
        expected += Math.pow(rows[2 * r] - mean0, 2) + Math.pow(rows[2 * r + 1] - mean1, 2);
      }
      assertEquals(expected, variance, 1e-9 * expected);
      BootstrapInterval interval = seen.explainedVarianceInterval();
      assertEquals(seen.explainedVariance(), interval.estimate());
      assertTrue(interval.low() < interval.estimate() && interval.estimate() < interval.high());
      assertEquals(10_000, interval.resamples());
    }
  }

  @Test
  void agreesWithPyTorch() throws IOException {
    try (Safetensors golden = Given.tensors(folder);
        Sae sae = Given.goldenSae(golden, backend)) {
      ActivationSource rows = ActivationSources.ofArray(Goldens.floats(golden, "x"), 12);
      Reconstruction seen = Metrics.reconstruction(sae, rows, Long.MAX_VALUE);
      JsonNode written = new ObjectMapper().valueToTree(seen);
      for (Map.Entry<String, JsonNode> e :
          Given.expected(folder.resolve("json")).get("reconstruction").properties()) {
        double expected = e.getValue().doubleValue();
        // float32 encoding and decoding against float64
        assertEquals(expected, written.get(e.getKey()).doubleValue(), 2e-6 * expected, e.getKey());
      }
      assertEquals(700, seen.rows());
      assertEquals(0.1, seen.deadShare(), 1e-15);
      assertEquals(40, seen.dSae());
      long fired = seen.logDensity().counts().stream().mapToLong(Long::longValue).sum();
      assertEquals(36, fired, "the histogram counts each latent that fired once");
    }
  }

  @Test
  void matchesHandComputedValues() throws IOException {
    // Latent 0 reads and writes the first axis; the second axis is lost. Latent 1 is never alive.
    float[] rows = {2, 0, 4, 0, 0, 1, 2, 3, 0, 0};
    try (Sae sae = Given.sae(backend, 1, Given.axis(2, 0, 1), Given.axis(2, 1, 0))) {
      Reconstruction seen =
          Metrics.reconstruction(sae, ActivationSources.ofArray(rows, 2), Long.MAX_VALUE);
      // x̂: (2,0) (4,0) (0,0) (2,0) (0,0); squared errors 0, 0, 1, 9, 0
      assertEquals(1.0, seen.l2(), 1e-12);
      assertEquals((1 + 1 + 0 + 2 / Math.sqrt(13)) / 4, seen.l2Ratio(), 1e-12);
      assertEquals((1 + 1 + 0 + 2 / Math.sqrt(13)) / 4, seen.cosine(), 1e-12);
      // columns 2,4,0,2,0 (mean 1.6, squares 11.2) and 0,0,1,3,0 (mean 0.8, squares 6.8)
      assertEquals(10 / 18.0, seen.fvu(), 1e-12);
      assertEquals(8 / 18.0, seen.explainedVariance(), 1e-12);
      // all elements: mean 1.2, squares 34 − 14.4 = 19.6; residuals: mean 0.4, squares 10 − 1.6
      assertEquals(1 - 8.4 / 19.6, seen.scalarExplainedVariance(), 1e-12);
      assertEquals(0.6, seen.l0(), 1e-12);
      assertEquals(1, seen.deadLatents());
      assertEquals(0.5, seen.deadShare());
      // log10(0.6) = −0.22: the third bin of width 0.1 from the end
      assertEquals(1, seen.logDensity().counts().get(57));
    }
  }

  @Test
  void readsNoMoreRowsThanRequested() throws IOException {
    float[] rows = {2, 0, 4, 0, 0, 1, 2, 3};
    try (Sae sae = Given.sae(backend, 1, Given.axis(2, 0, 1))) {
      Reconstruction two = Metrics.reconstruction(sae, ActivationSources.ofArray(rows, 2), 2);
      assertEquals(2, two.rows());
      assertEquals(0, two.l2());
      assertEquals(3, two.meanNorm());
    }
  }

  @Test
  void doesNotDependOnHowTheRowsArrive() throws IOException {
    float[] rows = new float[2500 * 3];
    java.util.Random random = new java.util.Random(3);
    for (int i = 0; i < rows.length; i++) {
      rows[i] = (float) random.nextGaussian();
    }
    ActivationSource whole = ActivationSources.ofArray(rows, 3);
    try (Sae sae = Given.sae(backend, 1, Given.axis(3, 0, 1), Given.axis(3, 2, -1))) {
      Reconstruction dribbled =
          Metrics.reconstruction(sae, new Dribble(whole, 2500), Long.MAX_VALUE);
      assertEquals(2500, dribbled.rows());
      assertEquals(Metrics.reconstruction(sae, whole, Long.MAX_VALUE), dribbled);
    }
  }

  @Test
  void rejectsASourceWithoutRowsAndRowsWithNaN() throws IOException {
    ActivationSource nan = ActivationSources.ofArray(new float[] {1, 2, Float.NaN, 3}, 2);
    try (Sae sae = Given.sae(backend, 1, Given.axis(2, 0, 1))) {
      String message =
          assertThrows(
                  IllegalArgumentException.class,
                  () -> Metrics.reconstruction(sae, new Dribble(nan, 0), 9))
              .getMessage();
      assertTrue(message.contains("expected at least one row"), message);
      message =
          assertThrows(IllegalArgumentException.class, () -> Metrics.reconstruction(sae, nan, 9))
              .getMessage();
      assertTrue(message.contains("row 1"), message);
    }
  }

  @Test
  void handlesRowsThatDoNotVary() throws IOException {
    ActivationSource same = ActivationSources.ofArray(new float[] {3, 0, 3, 0}, 2);
    try (Sae keeps = Given.sae(backend, 1, Given.axis(2, 0, 1));
        Sae loses = Given.sae(backend, 1, Given.axis(2, 1, 1))) {
      assertEquals(0, Metrics.reconstruction(keeps, same, 9).fvu());
      assertEquals(Double.POSITIVE_INFINITY, Metrics.reconstruction(loses, same, 9).fvu());
    }
  }

  /** Supplies at most 7 rows at a time, and {@code most} altogether. */
  private record Dribble(ActivationSource of, int most) implements ActivationSource {
    @Override
    public int dIn() {
      return of.dIn();
    }

    @Override
    public String description() {
      return of.description();
    }

    @Override
    public ActivationReader open(long position) throws IOException {
      ActivationReader inner = of.open(position);
      return new ActivationReader() {
        private int left = most;

        @Override
        public int read(ActivationBatch into) throws IOException {
          int room = Math.min(Math.min(7, left), into.capacity() - into.rows());
          if (left == 0) {
            return -1;
          }
          try (Backend host = new ReferenceBackend();
              ActivationBatch few = ActivationBatch.allocate(host, room, dIn())) {
            int read = inner.read(few);
            float[] rows = new float[few.rows() * dIn()];
            few.data().get(rows);
            into.data().put(into.rows() * dIn(), rows);
            into.rows(into.rows() + few.rows());
            left -= few.rows();
            return read;
          }
        }

        @Override
        public long position() {
          return inner.position();
        }

        @Override
        public void close() {
          inner.close();
        }
      };
    }
  }
}
