package io.faithfulsae.training;

import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;

class ReferenceDivergenceTest extends DivergenceTest {
  @Override
  protected Backend open() {
    return new ReferenceBackend();
  }
}
