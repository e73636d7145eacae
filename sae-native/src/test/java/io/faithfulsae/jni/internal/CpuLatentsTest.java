package io.faithfulsae.jni.internal;

import io.faithfulsae.LatentsTest;
import io.faithfulsae.spi.Backend;

/** {@link LatentsTest} on the CPU backend. */
class CpuLatentsTest extends LatentsTest {
  @Override
  protected Backend open() {
    return new CpuBackendProvider().open();
  }
}
