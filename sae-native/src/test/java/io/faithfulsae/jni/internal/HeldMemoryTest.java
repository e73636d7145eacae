package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * A program that forgets everything, faster than the collector and the cleaner come by on their
 * own, holds little at any time.
 */
class HeldMemoryTest {

  /** The main class of the other process; prints the largest number of live bytes it saw. */
  static final class Main {
    private Main() {}

    public static void main(String[] args) {
      long bytes = Long.parseLong(args[0]);
      try (Backend backend = new CpuBackendProvider().open();
          DeviceBuffer used = backend.allocate(64)) {
        long most = 0;
        for (int i = 0; i < Integer.parseInt(args[1]); i++) {
          backend.allocate(bytes).host();
          most = Math.max(most, backend.liveBytes());
        }
        System.out.println(most - used.bytes());
      }
    }
  }

  private static long most(long bytes, int times) throws Exception {
    String classPath = System.getProperty("java.class.path");
    // A heap of 512 MiB lets 64 MiB pile up before a collection is requested.
    return Long.parseLong(
        OtherProcess.run(
            Main.class, classPath, List.of("-Xmx512m"), Long.toString(bytes), "" + times));
  }

  @Test
  void forgottenMemoryDoesNotPileUp() throws Exception {
    long most = most(1 << 20, 4000);
    assertTrue(most <= 160L << 20, most + " bytes of 4000 MiB were live at once");
  }

  /** Small ones cost more in tables than in memory. */
  @Test
  void forgottenHandlesDoNotPileUp() throws Exception {
    long most = most(64, 300_000) / 64;
    assertTrue(most <= 150_000, most + " of 300,000 buffers were live at once");
  }
}
