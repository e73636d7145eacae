package io.faithfulsae.jni.internal;

import io.faithfulsae.spi.BackendProvider.Availability;
import java.util.Optional;

/** Asks a backend library whether it can run here. */
final class Probe {
  private Probe() {}

  /**
   * @param library path of a backend library; empty: the CPU backend
   */
  static Availability library(String name, String library) {
    try {
      Optional<String> missing = NativeLibrary.missing();
      if (missing.isPresent()) {
        return new Availability(name, false, missing.get());
      }
      NativeLibrary.load();
      byte[] text = new byte[1024];
      return SaeAbi.sae_probe(library, text, text.length) == SaeAbi.SAE_OK
          ? new Availability(name, true, NativeBackend.text(text))
          : new Availability(name, false, NativeLibrary.lastError());
    } catch (LinkageError | RuntimeException e) {
      return new Availability(name, false, "the native library cannot be loaded: " + e);
    }
  }
}
