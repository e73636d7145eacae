package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assumptions.abort;

import io.faithfulsae.conformance.ActivationCases;
import io.faithfulsae.conformance.ActivationTrainingCases;
import io.faithfulsae.conformance.BackendConformanceTest;
import io.faithfulsae.conformance.EncodeConformanceTest;
import io.faithfulsae.conformance.RealActivationCases;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendUnavailableException;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Tag;

/** The CPU backend with default options, and with each of its code paths forced. */
class CpuBackendTest {

  @Nested
  class Default extends BackendConformanceTest {
    @Override
    protected Backend open() {
      return new CpuBackendProvider().open();
    }
  }

  /** No BLAS, no vector instructions, one thread: runs anywhere. */
  @Nested
  @Tag("slow")
  class Portable extends BackendConformanceTest {
    @Override
    protected Backend open() {
      return new CpuBackendProvider().open("isa=portable;threads=1;blas=");
    }
  }

  /** More threads than rows in some cases. */
  @Nested
  @Tag("slow")
  class Avx2 extends BackendConformanceTest {
    @Override
    protected Backend open() {
      return openIfSupported("isa=avx2;threads=5;blas=");
    }
  }

  @Nested
  @Tag("slow")
  class Avx512 extends BackendConformanceTest {
    @Override
    protected Backend open() {
      return openIfSupported("isa=avx512;threads=2;blas=");
    }
  }

  /** With products in bfloat16 to rule out latents, which only some processors do by themselves. */
  @Nested
  @Tag("slow")
  class Screened extends EncodeConformanceTest implements ActivationCases, RealActivationCases {
    @Override
    protected Backend open() {
      return new CpuBackendProvider().open("threads=3;screen=portable");
    }
  }

  @Nested
  @Tag("slow")
  class ScreenedByAvx512Bf16 extends EncodeConformanceTest
      implements ActivationCases, RealActivationCases {
    @Override
    protected Backend open() {
      return openIfSupported("threads=2;screen=avx512bf16");
    }
  }

  @Nested
  @Tag("slow")
  class ScreenedByAmx extends EncodeConformanceTest
      implements ActivationCases, RealActivationCases {
    @Override
    protected Backend open() {
      return openIfSupported("threads=2;screen=amx");
    }
  }

  /** Active latents of thresholds gathered one by one, however many there are. */
  @Nested
  @Tag("slow")
  class SparseProducts extends EncodeConformanceTest implements ActivationTrainingCases {
    @Override
    protected Backend open() {
      return new CpuBackendProvider().open("threads=2;products=sparse");
    }

    @Override
    public Backend openAnother() {
      return open();
    }
  }

  /** The same in dense products, however few there are. */
  @Nested
  @Tag("slow")
  class DenseProducts extends EncodeConformanceTest implements ActivationTrainingCases {
    @Override
    protected Backend open() {
      return new CpuBackendProvider().open("threads=3;products=dense");
    }

    @Override
    public Backend openAnother() {
      return open();
    }
  }

  private static Backend openIfSupported(String options) {
    try {
      return new CpuBackendProvider().open(options);
    } catch (BackendUnavailableException e) {
      return abort(e.getMessage()); // reported as skipped: this processor is older
    }
  }
}
