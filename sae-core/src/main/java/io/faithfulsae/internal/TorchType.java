package io.faithfulsae.internal;

import io.faithfulsae.io.Safetensors.DType;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;

/** Element types of PyTorch's storages, under PyTorch's names. */
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
}
