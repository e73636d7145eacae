package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Activation;
import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.LatentBuffers;
import io.faithfulsae.spi.SaeShape;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.Selection.Rule;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the CPU backend promises of ragged rows beyond the contract of all backends. */
class CpuEncodeTest {

  /** Several tiles in both directions, and more workers than there are processors. */
  @ParameterizedTest
  @ValueSource(strings = {"", "blas=", "screen=portable"})
  void raggedRowsDoNotDependOnTheNumberOfThreads(String options) {
    for (Activation activation : List.of(new BatchTopK(9, null), new JumpRelu(), new Relu())) {
      Encoded one = encode(activation, options + ";threads=1");
      assertTrue(one.indices().length > 2000, "entries " + one.indices().length);
      for (int threads : new int[] {2, 7}) {
        Encoded some = encode(activation, options + ";threads=" + threads);
        assertArrayEquals(one.starts(), some.starts());
        assertArrayEquals(one.indices(), some.indices());
        assertArrayEquals(one.values(), some.values());
      }
    }
  }

  @SuppressWarnings("ArrayRecordComponent") // never compared as a whole
  private record Encoded(int[] starts, int[] indices, float[] values) {}

  private static Encoded encode(Activation activation, String options) {
    int rows = 1200;
    int dIn = 40;
    int dSae = 2100;
    SaeConfig config = new SaeConfig(dIn, dSae, activation, true, Normalization.NONE);
    Random random = new Random(3);
    try (Backend backend = new CpuBackendProvider().open(options);
        Sae sae = Sae.create(config, backend);
        ActivationBatch x = ActivationBatch.allocate(backend, rows, dIn)) {
      BackendSae parameters = sae.parameters();
      parameters.write(Tensor.W_ENC, 0, gaussian(random, dIn * dSae, 1 / Math.sqrt(dIn)));
      parameters.write(Tensor.B_DEC, 0, gaussian(random, dIn, 1));
      if (activation instanceof JumpRelu) {
        FloatBuffer thresholds = gaussian(random, dSae, 0.3);
        for (int j = 0; j < dSae; j++) {
          thresholds.put(j, thresholds.get(j) + 2.5f); // few fire
        }
        parameters.write(Tensor.THRESHOLD, 0, thresholds);
      }
      x.data().put(gaussian(random, rows * dIn, 1));
      x.rows(rows);
      try (Latents z = sae.encode(x)) {
        int[] indices = new int[z.entries()];
        float[] values = new float[z.entries()];
        z.indices().get(indices);
        z.values().get(values);
        return new Encoded(z.starts(), indices, values);
      }
    }
  }

  private static FloatBuffer gaussian(Random random, int n, double scale) {
    FloatBuffer values = DirectBuffers.floats(n);
    while (values.hasRemaining()) {
      values.put((float) (scale * random.nextGaussian()));
    }
    return values.flip();
  }

  /** 2^31 latents are active: they are counted in little memory, and refused by their number. */
  @Test
  void moreEntriesThanOffsetsCanCountAreRefused() {
    int dSae = 1 << 16;
    int rows = 1 << 15;
    try (Backend backend = new CpuBackendProvider().open();
        BackendSae sae = backend.createSae(SaeShape.of(1, dSae, false));
        DeviceBuffer x = backend.allocate(4L * rows);
        DeviceBuffer offsets = backend.allocate(4L * (rows + 1));
        DeviceBuffer indices = backend.allocate(4);
        DeviceBuffer values = backend.allocate(4)) {
      FloatBuffer ones = DirectBuffers.floats(dSae);
      for (int j = 0; j < dSae; j++) {
        ones.put(j, 1);
      }
      sae.write(Tensor.W_ENC, 0, ones);
      x.host().asFloatBuffer().put(0, ones, 0, rows);
      LatentBuffers into = LatentBuffers.ragged(offsets, indices, values);
      Selection all = new Selection(Rule.THRESHOLD, 0);
      String said =
          String.valueOf(
              assertThrows(IllegalArgumentException.class, () -> sae.encode(all, x, rows, into))
                  .getMessage());
      assertEquals(
          "expected at most 2147483647 active latents in a batch, got 2147483648; encode fewer rows"
              + " at once",
          said);
    }
  }
}
