package io.faithfulsae.conformance;

import io.faithfulsae.spi.Backend;

/**
 * The contract of every {@link Backend}. Each tolerance for comparing numbers with {@link
 * ReferenceBackend} comes with its reason.
 */
public abstract class BackendConformanceTest extends EncodeConformanceTest
    implements LifecycleCases,
        SizeCases,
        DecodeCases,
        ActivationCases,
        RealActivationCases,
        RaggedDecodeCases,
        TrainingCases,
        PartsCases,
        ResumeCases,
        ActivationTrainingCases {

  @Override
  public Backend openAnother() {
    return open();
  }
}
