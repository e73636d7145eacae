package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Latents;
import io.faithfulsae.interop.DeviceInterop;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.file.Path;
import java.util.List;
import org.bytedeco.javacpp.BytePointer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Closing something in use, or using it after close, never crashes the process. */
class ClosedWhileUsedTest {
  /** Large enough for its own mapping: smaller blocks would stay mapped in the C library's heap. */
  private static final int LARGE = 4 << 20;

  private static final List<String> OPERATIONS =
      List.of("view", "encode", "normalized", "decode", "gather", "metrics", "train", "accumulate");

  @TempDir Path folder;

  @Test
  void noOperationOutlivesTheMemoryThatItReads() throws IOException, InterruptedException {
    String[] arguments = new String[3 + OPERATIONS.size()];
    arguments[0] = "2";
    arguments[1] = "1";
    arguments[2] = folder.toString();
    for (int i = 0; i < OPERATIONS.size(); i++) {
      arguments[3 + i] = OPERATIONS.get(i);
    }
    String output =
        OtherProcess.run(
            CloseHammer.class,
            System.getProperty("java.class.path"),
            List.of("-XX:-CreateCoredumpOnCrash", "-XX:ErrorFile=" + folder.resolve("crash")),
            arguments);
    assertEquals(String.join("\n", OPERATIONS) + "\nended well", output);
  }

  @Test
  void viewsShowTheMemoryAsItWasLeft() {
    Backend cpu = new CpuBackendProvider().open();
    ActivationBatch x = ActivationBatch.allocate(cpu, LARGE / 64, 16);
    Latents z = Latents.allocate(cpu, LARGE / 4, 1);
    FloatBuffer data = x.data();
    IntBuffer indices = z.indices();
    FloatBuffer values = z.values();
    data.put(LARGE / 4 - 1, 1f);
    indices.put(LARGE / 4 - 1, 2);
    values.put(LARGE / 4 - 1, 3f);
    x.close();
    z.close();
    assertEquals(0, cpu.liveBytes(), "closed buffers do not count");
    cpu.close();
    System.gc(); // frees memory without views
    assertEquals(1f, data.get(LARGE / 4 - 1));
    assertEquals(2, indices.get(LARGE / 4 - 1));
    assertEquals(3f, values.get(LARGE / 4 - 1));
    data.put(0, 5f);
    assertEquals(5f, data.duplicate().get(0));
  }

  @Test
  void memoryWithoutViewsIsFreedAtOnce() {
    try (Backend cpu = new CpuBackendProvider().open()) {
      long before = BufferMemory.waiting();
      DeviceBuffer lent = cpu.allocate(LARGE);
      try (DeviceBuffer.Loan loan = lent.lend()) {
        loan.floats().put(0, 1f);
      }
      lent.close();
      // At most: leftovers of other tests may be freed in the meantime.
      assertTrue(BufferMemory.waiting() <= before, "a loan that has ended is not a view");
    }
  }

  @Test
  void aLoanOutlivesItsBuffer() {
    long before = BufferMemory.waiting();
    Backend cpu = new CpuBackendProvider().open();
    DeviceBuffer buffer = cpu.allocate(LARGE);
    try (DeviceBuffer.Loan loan = buffer.lend()) {
      loan.ints().put(7, 42);
      buffer.close();
      cpu.close();
      assertEquals(42, loan.ints().get(7));
    }
    assertTrue(BufferMemory.waiting() <= before);
  }

  @Test
  void aPointerKeepsItsMemory() {
    Backend cpu = new CpuBackendProvider().open();
    DeviceBuffer buffer = DeviceInterop.allocate(cpu, LARGE);
    BytePointer pointer = new BytePointer(DeviceInterop.pointer(buffer));
    pointer.put(LARGE - 1L, (byte) 3);
    cpu.close();
    System.gc();
    assertEquals(3, pointer.get(LARGE - 1L));
  }

  @Test
  void closedMemoryDoesNotPileUpBehindItsViews() throws InterruptedException {
    try (Backend cpu = new CpuBackendProvider().open()) {
      long limit = Math.max(64L << 20, Runtime.getRuntime().maxMemory() / 16);
      long block = limit / 8;
      for (int i = 0; i < 64; i++) {
        try (DeviceBuffer buffer = cpu.allocate(block)) {
          buffer.host().put(0, (byte) 1);
        }
        if (BufferMemory.waiting() > limit + 2 * block) {
          Thread.sleep(100); // the collector has run, but the cleaner's thread has no schedule
        }
      }
      for (int i = 0; i < 600 && BufferMemory.waiting() > limit + block; i++) {
        Thread.sleep(10);
      }
      assertTrue(
          BufferMemory.waiting() <= limit + block,
          () -> BufferMemory.waiting() + " bytes wait, " + limit + " may");
    }
  }
}
