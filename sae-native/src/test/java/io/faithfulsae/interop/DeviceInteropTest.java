package io.faithfulsae.interop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.jni.internal.CpuBackendProvider;
import io.faithfulsae.jni.internal.CudaBackendProvider;
import io.faithfulsae.jni.internal.RequiresGpu;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Random;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Memory and streams shared with other programs. */
class DeviceInteropTest {
  private static final int ROWS = 5;
  private static final int D_IN = 16;
  private static final int D_SAE = 40;
  private static final int K = 4;

  @Nested
  class Cpu extends Cases {
    @Override
    Backend open() {
      return new CpuBackendProvider().open();
    }

    @Test
    void hasNoStream() {
      try (Backend backend = open()) {
        assertTrue(Pointer.isNull(DeviceInterop.stream(backend)));
      }
    }
  }

  @Nested
  @ExtendWith(RequiresGpu.class)
  class Cuda extends Cases {
    @Override
    Backend open() {
      return new CudaBackendProvider().open();
    }
  }

  abstract static class Cases {
    abstract Backend open();

    @Test
    void anSaeReadsAndWritesDeviceMemoryAsItDoesHostMemory() {
      FloatBuffer values = random(ROWS * D_IN);
      try (Backend backend = open();
          Sae sae = sae(backend);
          ActivationBatch host = ActivationBatch.allocate(backend, ROWS, D_IN);
          DeviceBuffer callers = DeviceInterop.allocate(backend, bytes(ROWS * D_IN));
          ActivationBatch device =
              ActivationBatch.over(
                  DeviceInterop.wrap(backend, DeviceInterop.pointer(callers), callers.bytes()),
                  ROWS,
                  D_IN);
          Latents onHost = Latents.allocate(backend, ROWS, K);
          DeviceBuffer indices = DeviceInterop.allocate(backend, bytes(ROWS * K));
          DeviceBuffer z = DeviceInterop.allocate(backend, bytes(ROWS * K));
          DeviceBuffer decoded = DeviceInterop.allocate(backend, bytes(ROWS * D_IN));
          ActivationBatch decodedOnHost = ActivationBatch.allocate(backend, ROWS, D_IN)) {
        host.data().put(values.duplicate());
        host.rows(ROWS);
        ByteBuffer copy = direct(ROWS * D_IN);
        copy.asFloatBuffer().put(values.duplicate());
        DeviceInterop.write(callers, 0, copy);
        device.rows(ROWS);

        sae.encode(host, onHost);
        sae.decode(onHost, decodedOnHost);
        sae.parameters().encodeTopK(device.buffer(), ROWS, K, indices, z);
        sae.parameters().decode(indices, z, ROWS, K, decoded);
        backend.synchronize();

        ByteBuffer read = direct(ROWS * K);
        DeviceInterop.read(z, 0, read);
        assertArrayEquals(
            floats(onHost.values(), ROWS * K), floats(read.asFloatBuffer(), ROWS * K));
        ByteBuffer reconstruction = direct(ROWS * D_IN);
        DeviceInterop.read(decoded, 0, reconstruction);
        assertArrayEquals(
            floats(decodedOnHost.data(), ROWS * D_IN),
            floats(reconstruction.asFloatBuffer(), ROWS * D_IN));
      }
    }

    @Test
    void aSecondBackendWorksInOrderWithTheFirst() {
      try (Backend producer = open();
          Backend backend = open();
          DeviceBuffer made = DeviceInterop.allocate(producer, 64);
          DeviceBuffer seen = DeviceInterop.wrap(backend, DeviceInterop.pointer(made), 64)) {
        DeviceInterop.runAfter(backend, DeviceInterop.stream(producer));
        DeviceInterop.runBefore(backend, DeviceInterop.stream(producer));
        ByteBuffer four = direct(4);
        four.asFloatBuffer().put(new float[] {1, 2, 3, 4});
        DeviceInterop.write(made, 16, four);
        ByteBuffer read = direct(4);
        DeviceInterop.read(seen, 16, read);
        assertArrayEquals(new float[] {1, 2, 3, 4}, floats(read.asFloatBuffer(), 4));
      }
    }

    @Test
    void wrappedMemoryCountsForNothingAndIsNotFreed() {
      try (Backend backend = open();
          DeviceBuffer callers = DeviceInterop.allocate(backend, 128)) {
        long before = backend.liveBytes();
        DeviceBuffer wrapped = DeviceInterop.wrap(backend, DeviceInterop.pointer(callers), 128);
        assertEquals(before, backend.liveBytes());
        wrapped.close();
        ByteBuffer read = direct(1);
        DeviceInterop.read(callers, 124, read);
        assertEquals(0f, read.asFloatBuffer().get(0));
      }
    }

    @Test
    void whatCannotBeSharedIsRejectedWithTheReason() {
      try (Backend backend = open();
          DeviceBuffer own = DeviceInterop.allocate(backend, 128)) {
        String notAligned =
            assertThrows(
                    IllegalArgumentException.class,
                    () ->
                        DeviceInterop.wrap(
                            backend, new Pointer(DeviceInterop.pointer(own)).position(1), 64))
                .getMessage();
        assertTrue(notAligned.contains("multiple of 64"), notAligned);
        String device = assertThrows(UnsupportedOperationException.class, own::host).getMessage();
        assertTrue(device.contains("DeviceInterop.read"), device);
        assertThrows(
            IllegalArgumentException.class,
            () -> DeviceInterop.read(own, 0, ByteBuffer.allocate(4)));
        assertThrows(IllegalArgumentException.class, () -> DeviceInterop.read(own, 126, direct(1)));
        assertThrows(IllegalArgumentException.class, () -> ActivationBatch.over(own, ROWS, D_IN));
      }
    }

    private static Sae sae(Backend backend) {
      Sae sae = Sae.create(SaeConfig.topK(D_IN, D_SAE, K), backend);
      sae.parameters().write(Tensor.W_ENC, 0, random(D_SAE * D_IN));
      sae.parameters().write(Tensor.W_DEC, 0, random(D_SAE * D_IN));
      return sae;
    }
  }

  private static long bytes(int elements) {
    return (long) elements * Float.BYTES;
  }

  private static ByteBuffer direct(int elements) {
    return ByteBuffer.allocateDirect(elements * Float.BYTES).order(ByteOrder.nativeOrder());
  }

  private static FloatBuffer random(int elements) {
    Random random = new Random(elements);
    FloatBuffer values = direct(elements).asFloatBuffer();
    for (int i = 0; i < elements; i++) {
      values.put(i, (float) random.nextGaussian());
    }
    return values;
  }

  private static float[] floats(FloatBuffer from, int count) {
    float[] values = new float[count];
    from.get(0, values);
    return values;
  }
}
