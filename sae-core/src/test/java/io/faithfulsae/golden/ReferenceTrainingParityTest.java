package io.faithfulsae.golden;

import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;

class ReferenceTrainingParityTest extends TrainingParityTest {
  @Override
  protected Backend open() {
    return new ReferenceBackend();
  }
}
