package io.faithfulsae.io;

import io.faithfulsae.io.Safetensors.DType;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;

/** Conversion of stored elements to float32. */
final class Widening {
  private Widening() {}

  /** Appends what remains of {@code from}, in its byte order, to {@code to}. */
  static void widen(DType type, ByteBuffer from, FloatBuffer to) {
    switch (type) {
      case F32 -> to.put(from.asFloatBuffer());
      case BF16 -> BFloat16.widen(from, to);
      default -> {
        while (from.hasRemaining()) {
          to.put(next(type, from));
        }
      }
    }
  }

  private static float next(DType type, ByteBuffer from) {
    return switch (type) {
      case F64 -> (float) from.getDouble();
      case F16 -> Float16.widen(from.getShort());
      case I64 -> from.getLong();
      case I32 -> from.getInt();
      case I16 -> from.getShort();
      case I8 -> from.get();
      case U8, BOOL -> from.get() & 0xff;
      default -> throw new UnsupportedOperationException(type + " as float32");
    };
  }
}
