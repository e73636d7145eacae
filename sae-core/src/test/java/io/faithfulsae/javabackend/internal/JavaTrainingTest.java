package io.faithfulsae.javabackend.internal;

import io.faithfulsae.golden.TrainingParityTest;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.training.DivergenceTest;
import io.faithfulsae.training.PartsTest;
import io.faithfulsae.training.ResumptionTest;
import io.faithfulsae.training.TrainingRunTest;
import io.faithfulsae.training.TranscoderRunsTest;
import org.junit.jupiter.api.Nested;

/** Whole training runs on the backend {@code java}. */
class JavaTrainingTest {

  private static Backend backend() {
    return new JavaBackendProvider().open("threads=2");
  }

  @Nested
  class Parity extends TrainingParityTest {
    @Override
    protected Backend open() {
      return backend();
    }
  }

  @Nested
  class Runs extends TrainingRunTest {
    @Override
    protected Backend open() {
      return backend();
    }
  }

  @Nested
  class Resumption extends ResumptionTest {
    @Override
    protected Backend open() {
      return backend();
    }
  }

  @Nested
  class Parts extends PartsTest {
    @Override
    protected Backend open() {
      return backend();
    }
  }

  @Nested
  class Divergence extends DivergenceTest {
    @Override
    protected Backend open() {
      return backend();
    }
  }

  @Nested
  class Transcoders extends TranscoderRunsTest {
    @Override
    protected Backend open() {
      return backend();
    }
  }
}
