package io.faithfulsae.io;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;

/** Conversion between float32 and bfloat16, its upper half. */
public final class BFloat16 {
  /** Elements per block: source and target stay in the L1 cache, and copies are in bulk. */
  private static final int BLOCK = 4096;

  private BFloat16() {}

  /**
   * The nearest bfloat16, ties to even; values beyond the largest become infinite, NaN stays NaN.
   */
  public static short round(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return (short)
          (bits >>> 16
              | 0x40); // set the quiet bit: without it, a NaN whose payload is cut off would become
      // an infinity
    }
    return (short) ((bits + 0x7fff + (bits >>> 16 & 1)) >>> 16);
  }

  /** Rounds all that remains of {@code from}, whose position is not changed, into {@code to}. */
  public static void round(FloatBuffer from, ByteBuffer to) {
    FloatBuffer source = from.duplicate();
    ShortBuffer target = to.asShortBuffer();
    float[] floats = new float[Math.min(BLOCK, source.remaining())];
    short[] shorts = new short[floats.length];
    while (source.hasRemaining()) {
      int count = Math.min(floats.length, source.remaining());
      source.get(floats, 0, count);
      for (int i = 0; i < count; i++) {
        shorts[i] = round(floats[i]);
      }
      target.put(shorts, 0, count);
    }
  }

  /** Widens all that remains of {@code from} and appends it to {@code to}. */
  static void widen(ByteBuffer from, FloatBuffer to) {
    ShortBuffer source = from.asShortBuffer();
    short[] shorts = new short[Math.min(BLOCK, source.remaining())];
    float[] floats = new float[shorts.length];
    while (source.hasRemaining()) {
      int count = Math.min(shorts.length, source.remaining());
      source.get(shorts, 0, count);
      for (int i = 0; i < count; i++) {
        floats[i] = Float.intBitsToFloat(shorts[i] << 16);
      }
      to.put(floats, 0, count);
    }
  }
}
