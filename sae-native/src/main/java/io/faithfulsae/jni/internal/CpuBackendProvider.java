package io.faithfulsae.jni.internal;

import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendProvider;

/**
 * The CPU backend: AVX-512, AVX2 or portable code, whatever the processor supports, with matrix
 * products from OpenBLAS. {@code -Dsae.cpu.options="threads=2;isa=portable"} changes that (see
 * sae_context_open in sae_abi.h).
 */
public final class CpuBackendProvider implements BackendProvider {

  /** For {@link java.util.ServiceLoader}. */
  public CpuBackendProvider() {}

  @Override
  public String name() {
    return "cpu";
  }

  @Override
  public int priority() {
    return 0;
  }

  @Override
  public Availability probe() {
    return Probe.library(name(), "");
  }

  @Override
  public Backend open() {
    return open(System.getProperty("sae.cpu.options", ""));
  }

  @Override
  public NativeBackend open(String options) {
    return NativeBackend.open("cpu", "", withBlas(options));
  }

  /** Adds the OpenBLAS on the class path, unless the caller names a BLAS. */
  private static String withBlas(String options) {
    if (options.contains("blas=")) {
      return options;
    }
    String separator = options.isEmpty() ? "" : ";";
    return NativeLibrary.openBlas()
        .map(path -> options + separator + "blas=" + path)
        .orElse(options);
  }
}
