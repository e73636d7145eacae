package io.faithfulsae.io;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;

/**
 * Zeroed direct buffers in native order, as native code takes them. The garbage collector frees
 * them.
 */
public final class DirectBuffers {
  private DirectBuffers() {}

  /**
   * Room for bytes.
   *
   * @throws IllegalArgumentException if it is negative or more than 2 GiB - 1
   */
  public static ByteBuffer bytes(long count) {
    return allocate(count, Byte.BYTES);
  }

  /**
   * Room for floats.
   *
   * @throws IllegalArgumentException if it is negative or more than 2 GiB - 1
   */
  public static FloatBuffer floats(long count) {
    return allocate(count, Float.BYTES).asFloatBuffer();
  }

  /**
   * Room for doubles.
   *
   * @throws IllegalArgumentException if it is negative or more than 2 GiB - 1
   */
  public static DoubleBuffer doubles(long count) {
    return allocate(count, Double.BYTES).asDoubleBuffer();
  }

  /**
   * Room for ints.
   *
   * @throws IllegalArgumentException if it is negative or more than 2 GiB - 1
   */
  public static IntBuffer ints(long count) {
    return allocate(count, Integer.BYTES).asIntBuffer();
  }

  /**
   * Room for longs.
   *
   * @throws IllegalArgumentException if it is negative or more than 2 GiB - 1
   */
  public static LongBuffer longs(long count) {
    return allocate(count, Long.BYTES).asLongBuffer();
  }

  private static ByteBuffer allocate(long count, int size) {
    if (count < 0 || count > Integer.MAX_VALUE / size) {
      throw new IllegalArgumentException(
          Expected.message(
              "a buffer of 0 to %d elements of %d bytes".formatted(Integer.MAX_VALUE / size, size),
              count,
              "use smaller blocks"));
    }
    return ByteBuffer.allocateDirect((int) count * size).order(ByteOrder.nativeOrder());
  }
}
