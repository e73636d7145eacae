package io.faithfulsae.io;

import java.nio.FloatBuffer;

/** Looks for NaN and infinity. */
public final class Finite {
  private static final int BLOCK = 1024;

  private Finite() {}

  /**
   * Index of the first value that is not finite, counted from the buffer's position, which is not
   * changed; -1 if there is none.
   */
  public static int firstOther(FloatBuffer values) {
    float[] block = new float[BLOCK];
    int count = values.remaining();
    for (int at = 0; at < count; at += BLOCK) {
      int length = Math.min(BLOCK, count - at);
      values.get(values.position() + at, block, 0, length);
      int found = firstOther(block, length);
      if (found >= 0) {
        return at + found;
      }
    }
    return -1;
  }

  /** The same for the first {@code length} values of an array. */
  public static int firstOther(float[] values, int length) {
    // NaN and infinity times zero are NaN; four sums, since each addition waits for the one before.
    float a = 0;
    float b = 0;
    float c = 0;
    float d = 0;
    int i = 0;
    for (; i + 4 <= length; i += 4) {
      a += values[i] * 0;
      b += values[i + 1] * 0;
      c += values[i + 2] * 0;
      d += values[i + 3] * 0;
    }
    for (; i < length; i++) {
      a += values[i] * 0;
    }
    if (a + b + c + d == 0) {
      return -1;
    }
    int at = 0;
    while (Float.isFinite(values[at])) {
      at++;
    }
    return at;
  }
}
