package io.faithfulsae.models;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.faithfulsae.Backends;
import io.faithfulsae.models.spi.Graph.Precision;
import io.faithfulsae.spi.Backend;

/**
 * For tests of a runtime that works in a backend's memory; sae-models-iobinding runs them on the
 * CPU backend, and with {@code -Dsae.backend=cuda} on a GPU.
 */
public final class SharedMemory {
  private static final String BACKEND = System.getProperty("sae.backend", "cpu");

  private SharedMemory() {}

  /** Whether such a runtime is under test. */
  public static boolean inUse() {
    return "iobinding".equals(System.getProperty("sae.models.runtime"));
  }

  static void assume() {
    assumeTrue(inUse(), "run by sae-models-iobinding, with -Dsae.models.runtime=iobinding");
  }

  public static boolean onGpu() {
    return BACKEND.equals("cuda");
  }

  public static Backend backend() {
    return Backends.open(BACKEND);
  }

  public static OnnxModel.Options options() {
    return new OnnxModel.Options(1, onGpu() ? Precision.FLOAT16 : Precision.FLOAT32);
  }

  /**
   * For values of size 1 to 30: float32 with sums in another order; for float16, see PrecisionTest.
   */
  static float tolerance() {
    return onGpu() ? 0.1f : 1e-4f;
  }
}
