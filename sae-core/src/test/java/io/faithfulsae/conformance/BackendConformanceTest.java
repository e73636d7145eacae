package io.faithfulsae.conformance;

import io.faithfulsae.spi.Backend;

/**
 * What every {@link Backend} must do. Where numbers are compared with {@link ReferenceBackend}, the
 * tolerance stands next to its reason.
 */
public abstract class BackendConformanceTest extends EncodeConformanceTest
    implements LifecycleCases, DecodeCases, TrainingCases, PartsCases, ResumeCases {

  @Override
  public Backend openAnother() {
    return open();
  }
}
