package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assumptions.assumeFalse;

import io.faithfulsae.conformance.EncodeConformanceTest;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendUnavailableException;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * Every way the CUDA backend can encode in float32, against the same cases; kernels that the device
 * cannot run are skipped. {@link CudaBackendTest} covers the default one, and all other operations.
 */
@ExtendWith(RequiresGpu.class)
class CudaKernelsTest {

  @Nested
  class PlainFused extends Encoding {
    PlainFused() {
      super("kernels=plain;encode=fused");
    }
  }

  @Nested
  class PlainChunked extends Encoding {
    PlainChunked() {
      super("kernels=plain;encode=chunked");
    }
  }

  @Nested
  class Dense extends Encoding {
    Dense() {
      super("encode=dense");
    }
  }

  @Nested
  class Sm80Fused extends Encoding {
    Sm80Fused() {
      super("kernels=sm80;encode=fused");
    }
  }

  @Nested
  class Sm80Chunked extends Encoding {
    Sm80Chunked() {
      super("kernels=sm80;encode=chunked");
    }
  }

  @Nested
  class Sm90Fused extends Encoding {
    Sm90Fused() {
      super("kernels=sm90;encode=fused");
    }
  }

  @Nested
  class Sm90Chunked extends Encoding {
    Sm90Chunked() {
      super("kernels=sm90;encode=chunked");
    }
  }

  /** The encode cases on a backend opened with these options. */
  abstract static class Encoding extends EncodeConformanceTest {
    private final String options;

    Encoding(String options) {
      this.options = options;
    }

    @Override
    protected Backend open() {
      try {
        return new CudaBackendProvider().open(options);
      } catch (BackendUnavailableException e) {
        String reason = String.valueOf(e.getMessage());
        assumeFalse(reason.contains("expected kernels="), reason); // not supported by this device
        throw e;
      }
    }
  }
}
