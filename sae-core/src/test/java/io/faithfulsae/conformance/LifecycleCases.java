package io.faithfulsae.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.State;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.StepConfig;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import org.junit.jupiter.api.Test;

/** Memory: ownership, accounting and errors. */
interface LifecycleCases extends ConformanceCases {

  /** Opens another backend of the same kind; the caller closes it. */
  Backend openAnother();

  @Test
  default void infoNamesTheBackend() {
    Backend.Info info = backend().info();
    assertFalse(info.name().isBlank());
    assertFalse(info.device().isBlank());
    assertTrue(info.details().startsWith("{") && info.details().endsWith("}"), info.details());
  }

  @Test
  default void buffersAreZeroedAlignedAndCounted() {
    long before = backend().liveBytes();
    for (int bytes : new int[] {1, 63, 64, 4097, 1 << 20}) {
      try (DeviceBuffer buffer = backend().allocate(bytes)) {
        assertEquals(bytes, buffer.bytes());
        assertTrue(backend().liveBytes() >= before + bytes);
        ByteBuffer host = buffer.host();
        assertEquals(bytes, host.remaining());
        assertEquals(ByteOrder.nativeOrder(), host.order());
        assertEquals(0, host.alignmentOffset(0, 64), "64-byte alignment");
        for (int i = 0; i < bytes; i++) {
          assertEquals(0, host.get(i));
        }
        host.put(bytes - 1, (byte) 7); // the next buffer may reuse this memory
        assertEquals(7, buffer.host().get(bytes - 1), "views share memory");
      }
    }
    assertEquals(before, backend().liveBytes());
  }

  @Test
  default void sizesOutOfRangeAreRejected() {
    assertThrows(IllegalArgumentException.class, () -> backend().allocate(0));
    assertThrows(IllegalArgumentException.class, () -> backend().allocate(-1));
    assertThrows(IllegalArgumentException.class, () -> backend().createSae(0, 4, true));
    assertThrows(IllegalArgumentException.class, () -> backend().createSae(4, 0, true));
  }

  @Test
  default void parametersStartAtZeroAndKeepWhatIsWritten() {
    try (BackendSae sae = backend().createSae(5, 7, true)) {
      assertEquals(5, sae.dIn());
      assertEquals(7, sae.dSae());
      for (Tensor tensor : Tensor.COMMON) {
        float[] zeros = Data.read(sae, tensor);
        assertArrayEquals(new float[zeros.length], zeros);
        float[] expected = Data.gaussian(tensor.ordinal(), zeros.length);
        FloatBuffer source = Data.direct(expected);
        sae.write(tensor, 0, source);
        assertEquals(0, source.position(), "the position is not changed");
        assertArrayEquals(expected, Data.read(sae, tensor));
        expected[2] = 42;
        expected[3] = -1;
        sae.write(tensor, 2, Data.direct(42, -1));
        FloatBuffer tail = Data.direct(new float[3]);
        sae.read(tensor, 1, tail);
        assertEquals(Data.direct(expected[1], expected[2], expected[3]), tail);
        assertArrayEquals(expected, Data.read(sae, tensor), tensor + " after a write of a part");
      }
    }
  }

  @Test
  default void transfersOutsideATensorAreRejected() {
    try (BackendSae sae = backend().createSae(5, 7, true);
        BackendTrainer trainer = sae.trainer(2, StepConfig.builder().build())) {
      FloatBuffer eight = Data.direct(new float[8]);
      assertThrows(IllegalArgumentException.class, () -> sae.write(Tensor.B_ENC, 0, eight));
      assertThrows(IllegalArgumentException.class, () -> sae.read(Tensor.B_ENC, 0, eight));
      assertThrows(IllegalArgumentException.class, () -> sae.read(Tensor.W_ENC, 28, eight));
      assertThrows(IllegalArgumentException.class, () -> sae.read(Tensor.W_ENC, -1, eight));
      assertThrows(
          IllegalArgumentException.class,
          () -> sae.write(Tensor.B_ENC, 0, FloatBuffer.allocate(7)));
      assertThrows(
          IllegalArgumentException.class, () -> trainer.read(State.STEPS, 0, Data.directBytes(16)));
      assertThrows(
          IllegalArgumentException.class,
          () -> trainer.write(State.IDLE_ROWS, 7, Data.directBytes(8)));
      assertThrows(
          IllegalArgumentException.class,
          () -> trainer.write(State.M_B_ENC, 0, Data.directBytes(6)));
    }
  }

  @Test
  default void useAfterCloseIsRejectedAndClosingTwiceIsNot() {
    DeviceBuffer open = backend().allocate(64);
    DeviceBuffer indices = backend().allocate(64);
    DeviceBuffer values = backend().allocate(64);
    DeviceBuffer buffer = backend().allocate(64);
    BackendSae sae = backend().createSae(2, 2, true);
    BackendTrainer trainer = sae.trainer(1, StepConfig.builder().build());

    buffer.close();
    buffer.close();
    assertThrows(IllegalStateException.class, buffer::host);
    assertThrows(IllegalStateException.class, () -> sae.encodeTopK(buffer, 1, 1, indices, values));
    assertThrows(IllegalStateException.class, () -> trainer.step(buffer, 1, 1e-3));
    trainer.close();
    trainer.close();
    assertThrows(IllegalStateException.class, trainer::stats);
    assertThrows(IllegalStateException.class, () -> trainer.step(open, 1, 1e-3));
    sae.close();
    sae.close();
    assertThrows(IllegalStateException.class, () -> sae.encodeTopK(open, 1, 1, indices, values));
    assertThrows(IllegalStateException.class, () -> Data.read(sae, Tensor.B_DEC));
    indices.close();
    values.close();
    open.close();
  }

  @Test
  default void closingAnSaeStopsItsTrainer() {
    try (DeviceBuffer x = backend().allocate(64)) {
      BackendSae sae = backend().createSae(2, 2, true);
      BackendTrainer trainer = sae.trainer(1, StepConfig.builder().build());
      sae.close();
      assertThrows(IllegalStateException.class, () -> trainer.step(x, 1, 1e-3));
      trainer.close();
    }
  }

  @Test
  default void closingABackendClosesWhatItMade() {
    Backend other = openAnother();
    DeviceBuffer buffer = other.allocate(1024);
    BackendSae sae = other.createSae(3, 4, false);
    BackendTrainer trainer = sae.trainer(2, StepConfig.builder().build());
    other.close();
    other.close();
    assertThrows(IllegalStateException.class, buffer::host);
    assertThrows(IllegalStateException.class, () -> Data.read(sae, Tensor.B_DEC));
    assertThrows(IllegalStateException.class, trainer::stats);
    assertThrows(IllegalStateException.class, () -> other.allocate(8));
    assertThrows(IllegalStateException.class, other::liveBytes);
    trainer.close();
    sae.close();
    buffer.close();
  }

  @Test
  default void buffersOfAnotherBackendAreRejected() {
    try (Backend other = openAnother();
        DeviceBuffer foreign = other.allocate(64);
        DeviceBuffer own = backend().allocate(64);
        DeviceBuffer out = backend().allocate(64);
        BackendSae sae = backend().createSae(2, 2, true)) {
      assertThrows(IllegalArgumentException.class, () -> sae.encodeTopK(foreign, 1, 1, own, out));
      assertThrows(
          IllegalArgumentException.class,
          () -> backend().matmulTransposed(own, 1, foreign, 1, 1, out));
    }
  }

  @Test
  default void anOutputThatIsAlsoAnotherArgumentIsRejected() {
    try (DeviceBuffer a = backend().allocate(64);
        DeviceBuffer b = backend().allocate(64);
        BackendSae sae = backend().createSae(2, 2, true)) {
      assertThrows(IllegalArgumentException.class, () -> sae.encodeTopK(a, 1, 1, b, b));
      assertThrows(IllegalArgumentException.class, () -> sae.encodeTopK(a, 1, 1, a, b));
      assertThrows(IllegalArgumentException.class, () -> sae.encodeTopK(a, 1, 1, b, a));
      assertThrows(IllegalArgumentException.class, () -> sae.decode(a, b, 1, 1, b));
      assertThrows(
          IllegalArgumentException.class, () -> backend().matmulTransposed(a, 1, b, 1, 1, a));
    }
  }
}
