package io.faithfulsae.models;

import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;

/** Host memory for {@code [rows, width]} floats, as ONNX Runtime can use it in place. */
final class FloatRows {
  private FloatRows() {}

  static FloatBuffer allocate(int size) {
    return allocate(1, size);
  }

  static FloatBuffer allocate(long rows, long width) {
    long bytes = Math.multiplyExact(rows * width, Float.BYTES);
    if (bytes > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          Expected.message(
              "buffers of at most 2 GiB",
              "one of " + bytes + " bytes",
              "use fewer or shorter sequences"));
    }
    return DirectBuffers.floats(rows * width);
  }

  /** Whether ONNX Runtime can use the buffer in place. */
  static boolean isUsable(FloatBuffer buffer) {
    return buffer.isDirect() && !buffer.isReadOnly() && buffer.order() == ByteOrder.nativeOrder();
  }

  /** The buffer itself if ONNX Runtime can use it, else a copy. */
  static FloatBuffer readable(FloatBuffer data, int rows, int width) {
    return isUsable(data)
        ? data
        : allocate(rows, width).put(0, data, data.position(), rows * width);
  }

  static void requireRoom(String what, FloatBuffer buffer, int rows, int width) {
    long needed = (long) rows * width;
    if (buffer.remaining() < needed) {
      throw new IllegalArgumentException(
          Expected.message(
              "room in " + what + " for [" + rows + ", " + width + "] = " + needed + " floats",
              buffer.remaining(),
              "pass a larger buffer or fewer sequences"));
    }
  }

  /** Sets the padding after shorter sequences to 0. */
  static void clearPadding(int[][] tokens, int length, int width, FloatBuffer into) {
    float[] zeros = new float[width];
    for (int row = 0; row < tokens.length; row++) {
      for (int at = tokens[row].length; at < length; at++) {
        into.put(into.position() + (row * length + at) * width, zeros);
      }
    }
  }
}
