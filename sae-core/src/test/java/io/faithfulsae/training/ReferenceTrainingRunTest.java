package io.faithfulsae.training;

import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;

class ReferenceTrainingRunTest extends TrainingRunTest {
  @Override
  protected Backend open() {
    return new ReferenceBackend();
  }
}
