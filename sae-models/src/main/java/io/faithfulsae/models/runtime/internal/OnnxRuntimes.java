package io.faithfulsae.models.runtime.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.models.runtime.OnnxRuntime;
import io.faithfulsae.models.runtime.RuntimeProvider;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.spi.Services;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Chooses the runtime for graphs: {@code -Dsae.models.runtime} if set; otherwise {@code ort}, ONNX
 * Runtime's own Java API, or for a GPU backend, a runtime that supports it. There is no silent
 * fallback.
 *
 * <p>A process can load only one of them: both bring a library of the same name, and the system's
 * linker gives the second the library of the first.
 *
 * <p>ONNX Runtime's telemetry is off: no event is queued, no device id created, nothing sent. The
 * one exception is a host program that has initialized ONNX Runtime earlier with telemetry on:
 * events about the runtime itself, on loading and at intervals, continue. We then turn off event
 * reporting for sessions, which affects all sessions of the process. Such a program can set {@code
 * ORT_DISABLE_TELEMETRY=1} in its environment to stop all of it.
 */
public final class OnnxRuntimes {
  private static final String PROPERTY = "sae.models.runtime";

  private static final String CPU = "cpu";
  private static @Nullable String loaded;

  private OnnxRuntimes() {}

  /**
   * Opens a runtime. <b>Closed by</b> the caller.
   *
   * @param backend a backend whose device and memory to share; null for the CPU
   * @throws BackendUnavailableException with each runtime's reason, if none is usable
   */
  public static synchronized OnnxRuntime open(@Nullable Backend backend) {
    Map<String, RuntimeProvider> known = known();
    String forced = System.getProperty(PROPERTY, "");
    String place = backend == null ? CPU : backend.info().name();
    Map<String, String> reasons = new LinkedHashMap<>();
    for (RuntimeProvider provider : known.values()) {
      String name = provider.name();
      if (!forced.isEmpty() && !forced.equals(name)) {
        reasons.put(name, "-D" + PROPERTY + "=" + forced + " selects another");
      } else if (!provider.computesOn(place)) {
        reasons.put(name, "it does not compute on " + place);
      } else if (loaded != null && !loaded.equals(name)) {
        reasons.put(
            name,
            "this process has loaded " + loaded + "; start it with -D" + PROPERTY + "=" + name);
      } else {
        try {
          OnnxRuntime runtime = Telemetry.without(() -> provider.open(backend));
          loaded = name;
          return runtime;
        } catch (BackendUnavailableException e) {
          reasons.put(name, String.valueOf(e.getMessage()));
        }
      }
    }
    if (!forced.isEmpty() && !known.containsKey(forced)) {
      reasons.put(forced, "there is no runtime of this name on the class path");
    }
    throw new BackendUnavailableException(
        Expected.message(
            "a model runtime for " + place,
            "none of " + reasons,
            "add io.faithfulsae:sae-models-iobinding and the natives of"
                + " org.bytedeco:onnxruntime for a GPU, or run the model on the CPU"));
  }

  /** By name, ONNX Runtime's own Java API first. */
  private static Map<String, RuntimeProvider> known() {
    RuntimeProvider own = new JavaProvider();
    Map<String, RuntimeProvider> all = new LinkedHashMap<>();
    all.put(own.name(), own);
    all.putAll(Services.byName(RuntimeProvider.class, List.of(own), RuntimeProvider::name));
    return all;
  }

  private static final class JavaProvider implements RuntimeProvider {
    @Override
    public String name() {
      return "ort";
    }

    @Override
    public boolean computesOn(String backend) {
      return !backend.equals("cuda");
    }

    @Override
    public OnnxRuntime open(@Nullable Backend backend) {
      return new JavaRuntime();
    }
  }
}
