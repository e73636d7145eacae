package io.faithfulsae.models.runtime;

import com.sun.jna.Function;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Platform;
import io.faithfulsae.spi.BackendUnavailableException;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Keeps ONNX Runtime from reporting to its makers. From 1.29 on its builds for Linux and macOS send
 * events and keep a device id, unless the process's environment says otherwise when the library
 * initializes; its own switch, {@code setTelemetry}, comes when that has happened. Java cannot
 * change the environment of its process, so the C library is called.
 *
 * <p><b>Source</b>: {@code Privacy.md} in ONNX Runtime's jar, "Disabling Telemetry".
 */
final class Telemetry {
  static final String VARIABLE = "ORT_DISABLE_TELEMETRY";
  private static final String OFF = "1";

  private Telemetry() {}

  /**
   * Initializes a runtime with its telemetry off for as long as the process lives. The variable is
   * there for this call alone: processes that the program starts later do not inherit it.
   *
   * @throws BackendUnavailableException if it cannot be switched off; the runtime is not touched
   */
  static <T> T without(Supplier<T> initialization) {
    // Reading it first also takes Java's copy of the environment, which is not to hold our change.
    String before = System.getenv(VARIABLE);
    if (OFF.equals(before) || Platform.isWindows()) { // there, setTelemetry is the switch
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
      throw refused(e.toString());
    }
    if (status != 0) {
      throw refused("status " + status);
    }
  }

  private static int call(String function, Object... arguments) {
    Function found = NativeLibrary.getProcess().getFunction(function);
    return found.invokeInt(arguments);
  }

  private static BackendUnavailableException refused(String got) {
    return new BackendUnavailableException(
        "expected to switch ONNX Runtime's telemetry off, got "
            + got
            + "; start the process with "
            + VARIABLE
            + "="
            + OFF
            + " in its environment");
  }
}
