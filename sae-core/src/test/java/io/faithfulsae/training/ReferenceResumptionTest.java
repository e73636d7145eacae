package io.faithfulsae.training;

import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;

class ReferenceResumptionTest extends ResumptionTest {
  @Override
  protected Backend open() {
    return new ReferenceBackend();
  }
}
