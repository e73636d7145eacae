package io.faithfulsae.jni.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendProvider;
import io.faithfulsae.spi.BackendUnavailableException;
import java.nio.file.Path;
import java.util.Optional;

/**
 * The CUDA backend: libsae_cuda.so from the jar if it was built with nvcc, or {@code
 * -Dsae.cuda.library=PATH}. {@code -Dsae.cuda.options="device=1"} chooses a device.
 */
public final class CudaBackendProvider implements BackendProvider {
  private static final String NAME = "cuda";

  /** For {@link java.util.ServiceLoader}. */
  public CudaBackendProvider() {}

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public int priority() {
    return 100;
  }

  @Override
  public Availability probe() {
    Optional<Path> library = NativeLibrary.cuda();
    return library.isPresent()
        ? Probe.library(name(), library.get().toString())
        : new Availability(name(), false, NativeLibrary.missing().orElse(notBuilt()));
  }

  private static String notBuilt() {
    return Expected.message(
        "libsae_cuda.so in the jar",
        "a jar built without nvcc",
        "run sae-native/setup-nvcc.sh and build again, or pass -Dsae.cuda.library=PATH");
  }

  @Override
  public Backend open() {
    return open(System.getProperty("sae.cuda.options", ""));
  }

  @Override
  public Backend open(String options) {
    Path library =
        NativeLibrary.cuda().orElseThrow(() -> new BackendUnavailableException(notBuilt()));
    return NativeBackend.open(NAME, library.toString(), options);
  }
}
