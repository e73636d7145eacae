package io.faithfulsae.conformance;

import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.SaeShape;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Arrays;
import java.util.Random;

/** Test data, and how to transfer it to and from a backend. */
final class Data {
  /** Relative error of rounding to float32. */
  static final double EPS = 0x1p-24;

  private Data() {}

  static float[] gaussian(long seed, int n) {
    Random random = new Random(seed);
    float[] out = new float[n];
    for (int i = 0; i < n; i++) {
      out[i] = (float) random.nextGaussian();
    }
    return out;
  }

  /** Small integers: products and sums are exact in float32 in any order, with many ties. */
  static float[] integers(long seed, int n) {
    Random random = new Random(seed);
    float[] out = new float[n];
    for (int i = 0; i < n; i++) {
      out[i] = random.nextInt(7) - 3;
    }
    return out;
  }

  static DeviceBuffer upload(Backend backend, float... values) {
    DeviceBuffer buffer = backend.allocate((long) values.length * Float.BYTES);
    buffer.host().asFloatBuffer().put(values);
    return buffer;
  }

  static DeviceBuffer upload(Backend backend, int... values) {
    DeviceBuffer buffer = backend.allocate((long) values.length * Integer.BYTES);
    buffer.host().asIntBuffer().put(values);
    return buffer;
  }

  static float[] download(Backend backend, DeviceBuffer buffer, int n) {
    backend.synchronize();
    float[] out = new float[n];
    buffer.host().asFloatBuffer().get(out);
    return out;
  }

  static FloatBuffer direct(float... values) {
    return ByteBuffer.allocateDirect(values.length * Float.BYTES)
        .order(ByteOrder.nativeOrder())
        .asFloatBuffer()
        .put(values)
        .flip();
  }

  static ByteBuffer directBytes(long bytes) {
    return ByteBuffer.allocateDirect(Math.toIntExact(bytes)).order(ByteOrder.nativeOrder());
  }

  static float[] read(BackendSae sae, BackendSae.Tensor tensor) {
    float[] out = new float[Math.toIntExact(sae.shape().elements(tensor))];
    FloatBuffer host = direct(out);
    sae.read(tensor, 0, host);
    host.get(out);
    return out;
  }

  /** Weights of one SAE, to load into several backends. */
  @SuppressWarnings("ArrayRecordComponent") // never compared as a whole
  record Weights(
      int dIn, int dSae, boolean subtract, float[] wEnc, float[] bEnc, float[] wDec, float[] bDec) {

    static Weights gaussian(long seed, int dIn, int dSae, boolean subtract) {
      float[] wDec = Data.gaussian(seed + 2, dIn * dSae);
      for (int j = 0; j < dSae; j++) {
        double squares = 0;
        for (int i = 0; i < dIn; i++) {
          squares += (double) wDec[j * dIn + i] * wDec[j * dIn + i];
        }
        for (int i = 0; i < dIn; i++) {
          wDec[j * dIn + i] /= (float) Math.sqrt(squares);
        }
      }
      return new Weights(
          dIn,
          dSae,
          subtract,
          scaled(Data.gaussian(seed, dIn * dSae), 1 / Math.sqrt(dIn)),
          scaled(Data.gaussian(seed + 1, dSae), 0.1),
          wDec,
          scaled(Data.gaussian(seed + 3, dIn), 0.1));
    }

    static Weights integers(long seed, int dIn, int dSae, boolean subtract) {
      return new Weights(
          dIn,
          dSae,
          subtract,
          Data.integers(seed, dIn * dSae),
          Data.integers(seed + 1, dSae),
          Data.integers(seed + 2, dIn * dSae),
          Data.integers(seed + 3, dIn));
    }

    BackendSae on(Backend backend) {
      return on(backend, SaeShape.of(dIn, dSae, subtract));
    }

    BackendSae on(Backend backend, SaeShape shape) {
      BackendSae sae = backend.createSae(shape);
      sae.write(BackendSae.Tensor.W_ENC, 0, direct(wEnc));
      sae.write(BackendSae.Tensor.B_ENC, 0, direct(bEnc));
      sae.write(BackendSae.Tensor.W_DEC, 0, direct(Arrays.copyOf(wDec, dSae * shape.dOut())));
      sae.write(BackendSae.Tensor.B_DEC, 0, direct(Arrays.copyOf(bDec, shape.dOut())));
      return sae;
    }
  }

  private static float[] scaled(float[] values, double by) {
    for (int i = 0; i < values.length; i++) {
      values[i] *= (float) by;
    }
    return values;
  }

  /** Result of encoding: {@code [rows, k]}. */
  @SuppressWarnings("ArrayRecordComponent") // never compared as a whole
  record Encoded(int[] indices, float[] values) {}

  static Encoded encode(Backend backend, BackendSae sae, float[] x, int rows, int k) {
    try (DeviceBuffer in = upload(backend, x);
        DeviceBuffer indices = backend.allocate((long) rows * k * Integer.BYTES);
        DeviceBuffer values = backend.allocate((long) rows * k * Float.BYTES)) {
      sae.encodeTopK(in, rows, k, indices, values);
      backend.synchronize();
      IntBuffer index = indices.host().asIntBuffer();
      int[] out = new int[rows * k];
      index.get(out);
      return new Encoded(out, download(backend, values, rows * k));
    }
  }

  static float[] decode(Backend backend, BackendSae sae, Encoded z, int rows, int k) {
    try (DeviceBuffer indices = upload(backend, z.indices());
        DeviceBuffer values = upload(backend, z.values());
        DeviceBuffer out = backend.allocate((long) rows * sae.dIn() * Float.BYTES)) {
      sae.decode(indices, values, rows, k, out);
      return download(backend, out, rows * sae.dIn());
    }
  }
}
