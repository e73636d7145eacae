package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * {@code -Dsae.trackClose=true} reports where something used after close was created and closed.
 */
class TrackCloseTest {

  /** The main class of the other process. */
  static final class Main {
    private Main() {}

    public static void main(String[] args) {
      try (Backend backend = new CpuBackendProvider().open()) {
        DeviceBuffer buffer = make(backend);
        close(buffer);
        buffer.host();
      } catch (IllegalStateException e) {
        for (Throwable t = e.getCause(); t != null; t = t.getCause()) {
          boolean named =
              Arrays.stream(t.getStackTrace())
                  .anyMatch(f -> List.of("make", "close").contains(f.getMethodName()) && inMain(f));
          System.out.println(t.getMessage() + ": " + named);
        }
      }
    }

    private static boolean inMain(StackTraceElement frame) {
      return frame.getClassName().equals(Main.class.getName());
    }

    private static DeviceBuffer make(Backend backend) {
      return backend.allocate(64);
    }

    private static void close(DeviceBuffer buffer) {
      buffer.close();
    }
  }

  @Test
  void bothPlacesAreInTheException() throws Exception {
    String classPath = System.getProperty("java.class.path");
    assertEquals(
        "buffer of 64 bytes was closed here: true\nbuffer of 64 bytes was made here: true",
        OtherProcess.run(Main.class, classPath, List.of("-Dsae.trackClose=true")));
    assertEquals("", OtherProcess.run(Main.class, classPath, List.of()));
  }
}
