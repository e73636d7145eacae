package io.faithfulsae.internal;

import io.faithfulsae.io.Safetensors.DType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;

/** Element types of PyTorch's storages and NumPy's arrays, under PyTorch's names. */
enum TorchType {
  /** IEEE double. */
  FLOAT64(DType.F64),
  /** IEEE single. */
  FLOAT32(DType.F32),
  /** IEEE half. */
  FLOAT16(DType.F16),
  /** The upper half of an IEEE single. */
  BFLOAT16(DType.BF16),
  /** Signed 64-bit integer. */
  INT64(DType.I64),
  /** Signed 32-bit integer. */
  INT32(DType.I32),
  /** Signed 16-bit integer. */
  INT16(DType.I16),
  /** Signed byte. */
  INT8(DType.I8),
  /** Unsigned byte. */
  UINT8(DType.U8),
  /** One byte, 0 or 1. */
  BOOL(DType.BOOL);

  private static final int CHUNK = 1 << 16; // elements

  private final DType stored;

  TorchType(DType stored) {
    this.stored = stored;
  }

  /** Bytes of one element. */
  int bytes() {
    return stored.bytes();
  }

  /** Appends the elements to {@code to}, each as the nearest float. */
  void widen(ByteBuffer from, FloatBuffer to) {
    stored.widen(from, to);
  }

  /** Reads bytes from a place in a storage. */
  @FunctionalInterface
  interface Bytes {
    /** Fills {@code chunk}, which has an array. */
    void read(long firstByte, ByteBuffer chunk) throws IOException;
  }

  /** Fills {@code into}, whose position is not changed, with the elements from {@code first}. */
  void read(Bytes bytes, long first, FloatBuffer into) throws IOException {
    FloatBuffer target = into.duplicate();
    ByteBuffer chunk =
        ByteBuffer.allocate(Math.min(CHUNK, target.remaining()) * bytes())
            .order(ByteOrder.LITTLE_ENDIAN);
    long at = first * bytes();
    while (target.hasRemaining()) {
      chunk.clear().limit(Math.min(CHUNK, target.remaining()) * bytes());
      bytes.read(at, chunk);
      at += chunk.remaining();
      widen(chunk, target);
    }
  }
}
