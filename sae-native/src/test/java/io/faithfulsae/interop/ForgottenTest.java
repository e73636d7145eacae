package io.faithfulsae.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Backends;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.StepConfig;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * What a program forgot to close is freed, and one warning names the place. In a package outside
 * those that hand objects out, as users' are.
 */
class ForgottenTest {
  private static final Logger LOG = Logger.getLogger("io.faithfulsae.jni.internal.Handle");

  private final List<String> warnings = new CopyOnWriteArrayList<>();
  private final Handler recorder =
      new Handler() {
        @Override
        public void publish(LogRecord logged) {
          if (logged.getLevel().intValue() >= Level.WARNING.intValue()) {
            warnings.add(logged.getMessage());
          }
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
      };

  @BeforeEach
  void record() {
    LOG.addHandler(recorder);
  }

  @AfterEach
  void stop() {
    LOG.removeHandler(recorder);
  }

  @Test
  void manyAreFreedWithOneWarningForEachPlace() throws InterruptedException {
    try (Backend cpu = Backends.open("cpu")) {
      for (int i = 0; i < 300; i++) {
        forgetBatchAndLatents(cpu);
        forgetSaeAndTrainer(cpu);
      }
      assertTrue(cpu.liveBytes() > 0);
      for (int i = 0; i < 600 && cpu.liveBytes() > 0; i++) {
        System.gc();
        Thread.sleep(10);
      }
      assertEquals(0, cpu.liveBytes());
    }
    assertEquals(1, warningsAbout("buffer of 64 bytes", "forgetBatchAndLatents"));
    assertEquals(1, warningsAbout("buffer of 32 bytes", "forgetBatchAndLatents")); // both buffers
    assertEquals(1, warningsAbout("SAE [8, 4]", "forgetSaeAndTrainer"));
    assertEquals(1, warningsAbout("trainer of [8, 4]", "forgetSaeAndTrainer"));
    assertEquals(4, warnings.size(), warnings::toString);
  }

  private static void forgetBatchAndLatents(Backend cpu) {
    try (Sae sae = Sae.create(SaeConfig.topK(4, 8, 2), cpu)) {
      ActivationBatch x = ActivationBatch.allocate(cpu, 4, 4);
      x.rows(4);
      Latents z = sae.encode(x);
      assertEquals(4, z.rows());
    }
  }

  private static void forgetSaeAndTrainer(Backend cpu) {
    Sae sae = Sae.create(SaeConfig.topK(4, 8, 2), cpu);
    sae.parameters().trainer(2, StepConfig.builder().build());
  }

  private long warningsAbout(String what, String method) {
    String place = " it was made at " + ForgottenTest.class.getName() + "." + method;
    return warnings.stream()
        .filter(text -> text.startsWith(what + " was never closed") && text.contains(place))
        .count();
  }
}
