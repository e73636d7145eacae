package io.faithfulsae.javabackend.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Backends;
import io.faithfulsae.conformance.BackendConformanceTest;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.StepConfig;
import java.nio.ByteBuffer;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The conformance suite on the backend {@code java}, and what is particular to it. */
class JavaBackendTest {

  /** More threads than rows in some cases. */
  @Nested
  class Threads extends BackendConformanceTest {
    @Override
    protected Backend open() {
      return new JavaBackendProvider().open("threads=3");
    }
  }

  @Nested
  @Tag("slow")
  class OneThread extends BackendConformanceTest {
    @Override
    protected Backend open() {
      return new JavaBackendProvider().open("threads=1");
    }
  }

  @Test
  void isFoundByNameAndRunsWithoutNativeCode() {
    try (Backend backend = Backends.open("java", "threads=2")) {
      assertEquals("java", backend.info().name());
      assertTrue(backend.info().details().contains("\"threads\":2"), backend.info().details());
      assertEquals(0, backend.liveBytes());
    }
    try (Backend backend = Backends.open("java")) {
      assertFalse(backend.info().device().isBlank());
    }
    assertEquals(
        "expected threads=NUMBER for backend \"java\", got blas=; it has no other option",
        assertThrows(BackendUnavailableException.class, () -> Backends.open("java", "blas="))
            .getMessage());
  }

  @Test
  void whatItDoesNotTrainIsNamed() {
    StepConfig study = StepConfig.builder().build();
    Selection top = Selection.topK(2);
    assertRejected(
        "a rule other than THRESHOLD (ReLU, JumpReLU, gated) on the java backend, got THRESHOLD",
        new Selection(Selection.Rule.THRESHOLD, 0),
        study);
    assertRejected(
        "multiTopK = 0 on the java backend, got 0.125",
        top,
        study.toBuilder().multiTopK(0.125).build());
    assertRejected(
        "an optimizer other than MUON on the java backend, got MUON",
        top,
        study.toBuilder().optimizer(StepConfig.Optimizer.MUON).build());
  }

  private static void assertRejected(String what, Selection selection, StepConfig config) {
    try (Backend backend = new JavaBackendProvider().open("threads=1");
        BackendSae sae = backend.createSae(3, 4, true)) {
      BackendUnavailableException e =
          assertThrows(
              BackendUnavailableException.class,
              () -> sae.trainer(selection, config, Gradients.NONE).close());
      assertEquals("expected " + what + "; train it on the cpu backend", e.getMessage());
    }
  }

  @Test
  void memoryIsUsableWhileItIsLentOrViewed() {
    try (Backend backend = new JavaBackendProvider().open("threads=1")) {
      DeviceBuffer buffer = backend.allocate(8);
      ByteBuffer view = buffer.host();
      try (DeviceBuffer.Loan loan = buffer.lend()) {
        buffer.close();
        assertEquals(0, backend.liveBytes());
        loan.floats().put(1, 7);
        assertEquals(7, view.asFloatBuffer().get(1));
      }
      assertThrows(IllegalStateException.class, buffer::lend);
    }
  }
}
