package io.faithfulsae.internal;

import java.nio.ByteBuffer;

/** Element types of PyTorch's storages. */
enum TorchType {
  /** IEEE double. */
  FLOAT64(8),
  /** IEEE single. */
  FLOAT32(4),
  /** IEEE half. */
  FLOAT16(2),
  /** The upper half of an IEEE single. */
  BFLOAT16(2),
  /** Signed 64-bit integer. */
  INT64(8),
  /** Signed 32-bit integer. */
  INT32(4),
  /** Signed 16-bit integer. */
  INT16(2),
  /** Signed byte. */
  INT8(1),
  /** Unsigned byte. */
  UINT8(1),
  /** One byte, 0 or 1. */
  BOOL(1);

  private final int bytes;

  TorchType(int bytes) {
    this.bytes = bytes;
  }

  /** Bytes of one element. */
  int bytes() {
    return bytes;
  }

  /** The next element, as the nearest float. */
  float next(ByteBuffer from) {
    return switch (this) {
      case FLOAT64 -> (float) from.getDouble();
      case FLOAT32 -> from.getFloat();
      case FLOAT16 -> half(from.getShort());
      case BFLOAT16 -> Float.intBitsToFloat(from.getShort() << 16);
      case INT64 -> from.getLong();
      case INT32 -> from.getInt();
      case INT16 -> from.getShort();
      case INT8 -> from.get();
      case UINT8, BOOL -> from.get() & 0xff;
    };
  }

  private static float half(short bits) {
    int magnitude = (bits & 0x7fff) << 13;
    int sign = (bits & 0x8000) << 16;
    if ((bits & 0x7c00) == 0x7c00) { // infinite or NaN
      return Float.intBitsToFloat(sign | 0x7f800000 | magnitude);
    }
    // the exponents' biases are 127 and 15; exact, for subnormal halves too
    float scaled = Float.intBitsToFloat(magnitude) * 0x1p112f;
    return sign == 0 ? scaled : -scaled;
  }
}
