package io.faithfulsae.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.StepConfig;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Sizes that do not fit: rejected by every operation before it touches memory. */
interface SizeCases extends ConformanceCases {
  int MAX = Integer.MAX_VALUE;

  /** An SAE with dIn = 4 and dSae = 6, its trainer, and buffers for three rows with k = 2. */
  record Parts(
      Backend backend,
      BackendSae sae,
      BackendTrainer trainer,
      DeviceBuffer x,
      DeviceBuffer indices,
      DeviceBuffer values,
      DeviceBuffer out)
      implements AutoCloseable {
    static Parts of(Backend backend) {
      BackendSae sae = Data.Weights.gaussian(3, 4, 6, true).on(backend);
      return new Parts(
          backend,
          sae,
          sae.trainer(2, StepConfig.builder().build(), Gradients.KEPT),
          Data.upload(backend, Data.gaussian(1, 3 * 4)),
          backend.allocate(3 * 2 * 4),
          backend.allocate(3 * 2 * 4),
          backend.allocate(3 * 4 * 4));
    }

    /** Calls whose sizes are wrong, by name. */
    Map<String, Executable> wrongCalls() {
      Map<String, Executable> calls = new LinkedHashMap<>();
      for (int rows : new int[] {0, -1, Integer.MIN_VALUE, 4, MAX}) {
        calls.put("encode rows " + rows, () -> sae.encodeTopK(x, rows, 2, indices, values));
        calls.put("decode rows " + rows, () -> sae.decode(indices, values, rows, 2, out));
        calls.put("step rows " + rows, () -> trainer.step(x, rows, 1e-3));
        calls.put("accumulate rows " + rows, () -> trainer.accumulate(x, 0, rows));
        calls.put("matmul m " + rows, () -> backend.matmulTransposed(x, rows, x, 3, 4, out));
        calls.put("matmul n " + rows, () -> backend.matmulTransposed(x, 3, x, rows, 4, out));
        calls.put(
            "gather from " + rows, () -> backend.gatherRows(x, rows, 4, indices, 0, 3, 1, out));
        calls.put(
            "gather count " + rows, () -> backend.gatherRows(x, 3, 4, indices, 0, rows, 1, out));
      }
      for (int k : new int[] {0, -1, 3, 7, MAX}) {
        calls.put("encode k " + k, () -> sae.encodeTopK(x, 3, k, indices, values));
        calls.put("decode k " + k, () -> sae.decode(indices, values, 3, k, out));
      }
      calls.put("decode k 7, one row", () -> sae.decode(x, out, 1, 7, indices));
      for (int first : new int[] {-1, Integer.MIN_VALUE, 2, MAX}) {
        calls.put("accumulate from " + first, () -> trainer.accumulate(x, first, 2));
      }
      for (int first : new int[] {-1, Integer.MIN_VALUE, 5, MAX}) {
        calls.put(
            "gather from index " + first,
            () -> backend.gatherRows(x, 3, 4, indices, first, 2, 1, out));
      }
      for (int width : new int[] {0, -1, 5, MAX}) {
        calls.put("matmul inner " + width, () -> backend.matmulTransposed(x, 3, x, 3, width, out));
        calls.put(
            "gather columns " + width,
            () -> backend.gatherRows(x, 3, width, indices, 0, 3, 1, out));
      }
      for (double lr : new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY}) {
        calls.put("step lr " + lr, () -> trainer.step(x, 3, lr));
        calls.put("apply lr " + lr, () -> trainer.apply(lr));
      }
      return calls;
    }

    @Override
    public void close() {
      trainer.close();
      sae.close();
      for (DeviceBuffer buffer : new DeviceBuffer[] {x, indices, values, out}) {
        buffer.close();
      }
    }
  }

  @Test
  default void everyWrongSizeIsRejectedWithARemedy() {
    try (Parts parts = Parts.of(backend())) {
      parts.trainer().accumulate(parts.x(), 0, 3); // so that only the rate is wrong in apply
      float[] x = Data.download(backend(), parts.x(), 3 * 4);
      parts
          .wrongCalls()
          .forEach(
              (name, call) -> {
                String said =
                    String.valueOf(
                        assertThrows(IllegalArgumentException.class, call, name).getMessage());
                assertTrue(said.matches("expected .*, got .*; .+"), name + ": " + said);
              });
      assertArrayEquals(x, Data.download(backend(), parts.x(), 3 * 4));
      assertArrayEquals(new float[12], Data.download(backend(), parts.out(), 3 * 4));
      parts.trainer().apply(1e-3); // no rejected call discarded what was accumulated
      assertEquals(1, parts.trainer().stats().steps());
    }
  }

  @Test
  default void whatIsClosedIsNotCalledWhateverTheSizes() {
    Backend other = ((LifecycleCases) this).openAnother();
    Parts parts = Parts.of(other);
    parts.sae().close();
    parts
        .wrongCalls()
        .forEach(
            (name, call) -> {
              if (!name.startsWith("matmul") && !name.startsWith("gather")) {
                assertThrows(IllegalStateException.class, call, name);
              }
            });
    other.close();
    parts
        .wrongCalls()
        .forEach((name, call) -> assertThrows(IllegalStateException.class, call, name));
    parts.close();
  }
}
