package io.faithfulsae.golden;

import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;

class ReferenceSparsifyTrainersTest extends SparsifyTrainersTest {
  @Override
  protected Backend open() {
    return new ReferenceBackend();
  }
}
