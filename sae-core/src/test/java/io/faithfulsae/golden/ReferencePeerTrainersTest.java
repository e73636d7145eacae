package io.faithfulsae.golden;

import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;

class ReferencePeerTrainersTest extends PeerTrainersTest {
  @Override
  protected Backend open() {
    return new ReferenceBackend();
  }
}
