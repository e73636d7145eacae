package io.faithfulsae.training;

import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;

class ReferenceActivationRunsTest extends ActivationRunsTest {
  @Override
  protected Backend open() {
    return new ReferenceBackend();
  }
}
