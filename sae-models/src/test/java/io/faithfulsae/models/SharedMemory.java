package io.faithfulsae.models;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

/** For tests of a runtime that computes in a backend's memory; sae-models-iobinding runs them. */
final class SharedMemory {
  private SharedMemory() {}

  static void assume() {
    assumeTrue(
        "iobinding".equals(System.getProperty("sae.models.runtime")),
        "run by sae-models-iobinding, with -Dsae.models.runtime=iobinding");
  }
}
