package io.faithfulsae;

import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;

/** {@link LatentsTest} on the reference. */
class ReferenceLatentsTest extends LatentsTest {
  @Override
  protected Backend open() {
    return new ReferenceBackend();
  }
}
