package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.StepConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/**
 * Opens, works and closes a thousand times: the backend counts no live bytes, and the operating
 * system sees no growth.
 */
class LeakTest {
  private static final int D_IN = 64;
  private static final int D_SAE = 1024;
  private static final int ROWS = 64;
  private static final int K = 8;

  /**
   * One SAE with its trainer and buffers takes 2.6 MB; leaking everything would cost 2.6 GB, a
   * single small object 1 MB.
   */
  @Test
  void openWorkCloseLeavesNothing() throws IOException {
    try (Backend backend = new CpuBackendProvider().open()) {
      cycles(backend, 100);
      long before = residentKilobytes();
      cycles(backend, 1000);
      long grown = residentKilobytes() - before;
      // Allocators and the JVM keep some pages; a thousand times the smallest object here (d_sae
      // floats) is 4 MB.
      assertTrue(grown < 64 << 10, "resident memory grew by " + grown + " kB");
      assertEquals(0, backend.liveBytes());
    }
  }

  private static void cycles(Backend backend, int n) {
    for (int i = 0; i < n; i++) {
      try (BackendSae sae = backend.createSae(D_IN, D_SAE, true);
          BackendTrainer trainer = sae.trainer(K, StepConfig.builder().build());
          DeviceBuffer x = backend.allocate(4L * ROWS * D_IN);
          DeviceBuffer indices = backend.allocate(4L * ROWS * K);
          DeviceBuffer values = backend.allocate(4L * ROWS * K)) {
        sae.encodeTopK(x, ROWS, K, indices, values);
        sae.decode(indices, values, ROWS, K, x);
        if (i % 10 == 0) {
          trainer.step(x, ROWS, 1e-3);
        }
        assertTrue(backend.liveBytes() > 0);
      }
      assertEquals(0, backend.liveBytes());
    }
  }

  /** A close that looked at each live object took milliseconds here, and this case a minute. */
  @Test
  void closingAmongManyFindsItsOwn() {
    try (Backend backend = new CpuBackendProvider().open()) {
      List<DeviceBuffer> many = new ArrayList<>(); // closed with the backend
      for (int i = 0; i < 40_000; i++) {
        many.add(backend.allocate(64));
      }
      for (int i = 0; i < 2000; i++) {
        BackendSae sae = backend.createSae(4, 8, true);
        BackendTrainer trainer = sae.trainer(2, StepConfig.builder().build());
        assertTrue(backend.liveBytes() > many.size() * 64L);
        if (i % 2 == 0) {
          trainer.close();
        }
        sae.close();
        assertEquals(many.size() * 64L, backend.liveBytes());
      }
    }
  }

  /** Contexts own threads and scratch memory, which must be freed too. */
  @Test
  void aThousandBackendsLeaveNothing() throws IOException {
    backends(50);
    long before = residentKilobytes();
    long threads = threads();
    backends(1000);
    assertTrue(
        residentKilobytes() - before < 64 << 10, "resident memory grew by a thousand backends");
    assertTrue(
        threads() <= threads + 8, "threads stay: " + threads + " before, " + threads() + " after");
  }

  private static void backends(int n) {
    for (int i = 0; i < n; i++) {
      try (Backend backend = new CpuBackendProvider().open();
          BackendSae sae = backend.createSae(4, 8, true);
          DeviceBuffer x = backend.allocate(16);
          DeviceBuffer indices = backend.allocate(8);
          DeviceBuffer values = backend.allocate(8)) {
        sae.encodeTopK(x, 1, 2, indices, values);
      }
    }
  }

  private static long residentKilobytes() throws IOException {
    return status("VmRSS:");
  }

  private static long threads() throws IOException {
    return status("Threads:");
  }

  private static long status(String field) throws IOException {
    Path status = Path.of("/proc/self/status");
    Assumptions.assumeTrue(Files.exists(status), "only Linux reports a process's memory");
    for (String line : Files.readAllLines(status)) {
      if (line.startsWith(field)) {
        return Long.parseLong(line.replaceAll("\\D", ""));
      }
    }
    throw new AssertionError(field + " is not in " + status);
  }
}
