package io.faithfulsae.jni;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.faithfulsae.conformance.BackendConformanceTest;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendProvider.Availability;
import org.junit.jupiter.api.BeforeAll;

/**
 * The CUDA backend; skipped with the reason where it cannot run, unless {@code -Dsae.backend=cuda}
 * asks for it.
 */
class CudaBackendTest extends BackendConformanceTest {

  @BeforeAll
  static void requireGpu() {
    Availability availability = new CudaBackendProvider().probe();
    if ("cuda".equals(System.getProperty("sae.backend"))) {
      assertTrue(availability.usable(), availability.reason());
    }
    assumeTrue(availability.usable(), availability.reason());
  }

  @Override
  protected Backend open() {
    return new CudaBackendProvider().open();
  }
}
