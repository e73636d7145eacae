package io.faithfulsae.training;

import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;

class ReferenceTranscoderRunsTest extends TranscoderRunsTest {
  @Override
  protected Backend open() {
    return new ReferenceBackend();
  }
}
