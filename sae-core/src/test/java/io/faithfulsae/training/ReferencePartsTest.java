package io.faithfulsae.training;

import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;

class ReferencePartsTest extends PartsTest {
  @Override
  protected Backend open() {
    return new ReferenceBackend();
  }
}
