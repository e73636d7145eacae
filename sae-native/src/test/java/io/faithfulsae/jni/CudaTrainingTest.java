package io.faithfulsae.jni;

import io.faithfulsae.golden.TrainingParityTest;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.training.ResumptionTest;
import io.faithfulsae.training.TrainingRunTest;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Nested;

/** Training on the CUDA backend; skipped as {@link CudaBackendTest} is. */
class CudaTrainingTest {

  @BeforeAll
  static void requireGpu() {
    CudaBackendTest.requireGpu();
  }

  @Nested
  class Parity extends TrainingParityTest {
    @Override
    protected Backend open() {
      return new CudaBackendProvider().open();
    }
  }

  @Nested
  class Runs extends TrainingRunTest {
    @Override
    protected Backend open() {
      return new CudaBackendProvider().open();
    }
  }

  @Nested
  class Resumption extends ResumptionTest {
    @Override
    protected Backend open() {
      return new CudaBackendProvider().open();
    }
  }
}
