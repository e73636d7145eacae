package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.faithfulsae.Backends;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendException;
import io.faithfulsae.spi.BackendProvider.Availability;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.StepConfig;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What is specific to the native backends: finding them, opening them, and the safety net for
 * memory that was never closed.
 */
class NativeBackendTest {

  @Test
  void allAreFoundInOrderAndTheCpuOneIsUsable() {
    List<Availability> all = Backends.probe();
    assertEquals(List.of("cuda", "cpu", "java"), all.stream().map(Availability::name).toList());
    assertTrue(all.get(1).usable(), all.get(1).reason());
    assertFalse(all.get(0).reason().isBlank());
    try (Backend cpu = Backends.open("cpu")) {
      assertEquals("cpu", cpu.info().name());
    }
  }

  @Test
  void theCpuBackendSaysWhatItRunsOn() throws IOException {
    try (Backend cpu = Backends.open("cpu", "threads=2")) {
      JsonNode details = new ObjectMapper().readTree(cpu.info().details());
      assertEquals(cpu.info().device(), details.path("device").asText());
      assertEquals(2, details.path("threads").asInt());
      assertTrue(
          details.path("blas").asText().startsWith("OpenBLAS"),
          "taken from org.bytedeco's jar: " + details);
    }
  }

  @Test
  void anOptionThatIsUnknownIsNamed() {
    BackendUnavailableException e =
        assertThrows(BackendUnavailableException.class, () -> Backends.open("cpu", "treads=2"));
    assertTrue(e.getMessage().contains("treads"), e.getMessage());
  }

  @Test
  void aCudaLibraryThatIsNotOneIsRejectedWithItsPath(@TempDir Path dir) throws IOException {
    Path file = Files.writeString(dir.resolve("libsae_cuda.so"), "not a library");
    String before = System.getProperty("sae.cuda.library");
    System.setProperty("sae.cuda.library", file.toString());
    try {
      Availability availability = new CudaBackendProvider().probe();
      assertFalse(availability.usable());
      assertTrue(availability.reason().contains(file.toString()), availability.reason());
      BackendUnavailableException e =
          assertThrows(BackendUnavailableException.class, () -> Backends.open("cuda"));
      assertTrue(e.getMessage().contains(file.toString()), e.getMessage());
    } finally {
      if (before == null) {
        System.clearProperty("sae.cuda.library");
      } else {
        System.setProperty("sae.cuda.library", before);
      }
    }
  }

  @Test
  void moreMemoryThanThereIsNamesTheOperationAndTheDevice() {
    try (Backend cpu = new CpuBackendProvider().open()) {
      BackendException e = assertThrows(BackendException.class, () -> cpu.allocate(1L << 60));
      assertTrue(e.getMessage().startsWith("allocate on " + cpu.info().device()), e.getMessage());
      assertEquals(0, cpu.liveBytes());
    }
  }

  /** API enums are passed by ordinal, which must match the values in sae_abi.h. */
  @Test
  void ordinalsAreThoseOfTheHeader() {
    assertEquals(SaeAbi.SAE_LOSS_MEAN, StepConfig.Loss.MEAN.ordinal());
    assertEquals(SaeAbi.SAE_LOSS_SUM_MEAN, StepConfig.Loss.SUM_MEAN.ordinal());
    assertEquals(SaeAbi.SAE_LOSS_FVU, StepConfig.Loss.FVU.ordinal());
    assertEquals(SaeAbi.SAE_AUX_MEAN, StepConfig.AuxNorm.MEAN.ordinal());
    assertEquals(SaeAbi.SAE_AUX_SUM_MEAN, StepConfig.AuxNorm.SUM_MEAN.ordinal());
    assertEquals(SaeAbi.SAE_AUX_TARGET_VARIANCE, StepConfig.AuxNorm.TARGET_VARIANCE.ordinal());
    assertEquals(SaeAbi.SAE_AUX_RESIDUAL_VARIANCE, StepConfig.AuxNorm.RESIDUAL_VARIANCE.ordinal());
    assertEquals(SaeAbi.SAE_DECODER_NORM_NONE, StepConfig.DecoderNorm.NONE.ordinal());
    assertEquals(SaeAbi.SAE_DECODER_NORM_BEFORE_STEP, StepConfig.DecoderNorm.BEFORE_STEP.ordinal());
    assertEquals(SaeAbi.SAE_DECODER_NORM_AFTER_STEP, StepConfig.DecoderNorm.AFTER_STEP.ordinal());
  }

  @Test
  void aForgottenBufferIsFreedButNotUnderAViewThatIsHeld() throws InterruptedException {
    try (Backend cpu = new CpuBackendProvider().open()) {
      FloatBuffer view = forget(cpu, 64);
      view.put(3, 42f);
      forget(cpu, 4096);
      for (int i = 0; i < 600 && cpu.liveBytes() > 64; i++) {
        System.gc();
        Thread.sleep(10);
      }
      assertEquals(64, cpu.liveBytes(), "the buffer without a view is gone, the other is not");
      assertEquals(42f, view.get(3));
    }
  }

  private static FloatBuffer forget(Backend backend, long bytes) {
    DeviceBuffer buffer = backend.allocate(bytes);
    return buffer.host().asFloatBuffer();
  }
}
