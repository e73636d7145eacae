package io.faithfulsae.jni.internal;

import io.faithfulsae.golden.PeerTrainersTest;
import io.faithfulsae.golden.SparsifyTrainersTest;
import io.faithfulsae.golden.TrainingParityTest;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.training.ActivationRunsTest;
import io.faithfulsae.training.DivergenceTest;
import io.faithfulsae.training.OptimizerRunsTest;
import io.faithfulsae.training.PartsTest;
import io.faithfulsae.training.ResumptionTest;
import io.faithfulsae.training.TrainingRunTest;
import io.faithfulsae.training.TranscoderRunsTest;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.extension.ExtendWith;

/** Training on the CUDA backend; skipped like {@link CudaBackendTest}. */
@ExtendWith(RequiresGpu.class)
class CudaTrainingTest {

  @Nested
  class Parity extends TrainingParityTest {
    @Override
    protected Backend open() {
      return new CudaBackendProvider().open();
    }
  }

  @Nested
  class Peers extends PeerTrainersTest {
    @Override
    protected Backend open() {
      return new CudaBackendProvider().open();
    }
  }

  @Nested
  class Sparsify extends SparsifyTrainersTest {
    @Override
    protected Backend open() {
      return new CudaBackendProvider().open();
    }
  }

  @Nested
  class Transcoders extends TranscoderRunsTest {
    @Override
    protected Backend open() {
      return new CudaBackendProvider().open();
    }
  }

  @Nested
  class Optimizers extends OptimizerRunsTest {
    @Override
    protected Backend open() {
      return new CudaBackendProvider().open();
    }
  }

  @Nested
  class Activations extends ActivationRunsTest {
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

  @Nested
  class Parts extends PartsTest {
    @Override
    protected Backend open() {
      return new CudaBackendProvider().open();
    }
  }

  @Nested
  class Divergence extends DivergenceTest {
    @Override
    protected Backend open() {
      return new CudaBackendProvider().open();
    }
  }
}
