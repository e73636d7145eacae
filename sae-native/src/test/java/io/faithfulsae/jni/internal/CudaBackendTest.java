package io.faithfulsae.jni.internal;

import io.faithfulsae.conformance.BackendConformanceTest;
import io.faithfulsae.spi.Backend;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * The CUDA backend; skipped, with the reason, where it cannot run, unless {@code
 * -Dsae.backend=cuda} is set.
 */
@ExtendWith(RequiresGpu.class)
class CudaBackendTest extends BackendConformanceTest {

  @Override
  protected Backend open() {
    return new CudaBackendProvider().open();
  }

  @Override
  public boolean mayLackActivations() {
    return true;
  }
}
