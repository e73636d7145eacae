package io.faithfulsae.training;

import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;

class ReferenceOptimizerRunsTest extends OptimizerRunsTest {
  @Override
  protected Backend open() {
    return new ReferenceBackend();
  }
}
