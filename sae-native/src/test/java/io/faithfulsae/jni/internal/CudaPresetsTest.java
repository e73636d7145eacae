package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.abort;

import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.interop.DeviceInterop;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.global.cudart;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * A program that uses bytedeco's CUDA presets: its memory, filled on its stream, is encoded by an
 * SAE on the same stream.
 */
@ExtendWith(RequiresGpu.class)
class CudaPresetsTest {
  private static final int DEFAULT_STREAM_FLAGS = 0;

  @BeforeAll
  static void presets() {
    try {
      cudart.cudaGetLastError();
    } catch (LinkageError e) {
      abort("org.bytedeco:cuda cannot be loaded here: " + e.getMessage());
    }
  }

  @Test
  void memoryAndStreamOfThePresetsServeAnSae() {
    float[] rows = {1, 0, 0, 2};
    int dIn = 2;
    FloatPointer x = new FloatPointer();
    CUstream_st stream = new CUstream_st();
    ok(cudart.cudaStreamCreateWithFlags(stream, DEFAULT_STREAM_FLAGS));
    ok(cudart.cudaMalloc(x, (long) rows.length * Float.BYTES));
    try (FloatPointer host = new FloatPointer(rows);
        Backend backend = DeviceInterop.openOn(0, stream);
        Sae sae = Sae.create(SaeConfig.topK(dIn, 2, 1), backend);
        DeviceBuffer wrapped = DeviceInterop.wrap(backend, x, (long) rows.length * Float.BYTES);
        DeviceBuffer indices = DeviceInterop.allocate(backend, 2 * Integer.BYTES);
        DeviceBuffer values = DeviceInterop.allocate(backend, 2 * Float.BYTES)) {
      assertEquals(stream.address(), DeviceInterop.stream(backend).address());
      FloatBuffer identity = direct(4).asFloatBuffer().put(new float[] {1, 0, 0, 1}).flip();
      sae.parameters().write(Tensor.W_ENC, 0, identity);
      ok(
          cudart.cudaMemcpyAsync(
              x, host, (long) rows.length * Float.BYTES, cudart.cudaMemcpyHostToDevice, stream));
      sae.parameters().encodeTopK(wrapped, 2, 1, indices, values);
      ByteBuffer kept = direct(2);
      Pointer keptAddress = new Pointer(kept);
      ok(
          cudart.cudaMemcpyAsync(
              keptAddress,
              DeviceInterop.pointer(values),
              2 * Float.BYTES,
              cudart.cudaMemcpyDeviceToHost,
              stream));
      ok(cudart.cudaStreamSynchronize(stream));
      float[] z = new float[2];
      kept.asFloatBuffer().get(z);
      assertArrayEquals(new float[] {1, 2}, z);
    } finally {
      ok(cudart.cudaFree(x));
      ok(cudart.cudaStreamDestroy(stream));
    }
  }

  private static ByteBuffer direct(int elements) {
    return ByteBuffer.allocateDirect(elements * Float.BYTES).order(ByteOrder.nativeOrder());
  }

  private static void ok(int error) {
    assertEquals(cudart.cudaSuccess, error, "CUDA error");
  }
}
