package io.faithfulsae.models.runtime.internal;

import com.sun.jna.Function;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Platform;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.BackendUnavailableException;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Keeps ONNX Runtime from reporting to its makers. Since 1.29, its builds for Linux and macOS send
 * events and keep a device id, unless an environment variable turns this off before the library
 * initializes; its own switch, {@code setTelemetry}, takes effect only afterwards. Java cannot
 * change the environment of its own process, so we call the C library.
 *
 * <p><b>Source</b>: {@code Privacy.md} in ONNX Runtime's jar, "Disabling Telemetry".
 */
final class Telemetry {
  static final String VARIABLE = "ORT_DISABLE_TELEMETRY";
  private static final String OFF = "1";

  private Telemetry() {}

  /**
   * Initializes a runtime with telemetry off for the life of the process. The variable is set for
   * this call only: processes started later do not inherit it.
   *
   * @throws BackendUnavailableException if it cannot be turned off; the runtime is then not
   *     initialized
   */
  static <T> T without(Supplier<T> initialization) {
    // Reading it first also makes Java copy the environment, before our change.
    String before = System.getenv(VARIABLE);
    if (OFF.equals(before) || Platform.isWindows()) { // on Windows, setTelemetry suffices
      return initialization.get();
    }
    set(OFF);
    try {
      return initialization.get();
    } finally {
      set(before);
    }
  }

  private static void set(@Nullable String value) {
    int status;
    try {
      status = value == null ? call("unsetenv", VARIABLE) : call("setenv", VARIABLE, value, 1);
    } catch (LinkageError e) {
      throw failed(e.toString());
    }
    if (status != 0) {
      throw failed("status " + status);
    }
  }

  private static int call(String function, Object... arguments) {
    Function found = NativeLibrary.getProcess().getFunction(function);
    return found.invokeInt(arguments);
  }

  private static BackendUnavailableException failed(String got) {
    return new BackendUnavailableException(
        Expected.message(
            "ONNX Runtime's telemetry to be off",
            got,
            "start the process with " + VARIABLE + "=" + OFF + " in its environment"));
  }
}
