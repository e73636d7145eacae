package io.faithfulsae.io;

import org.jspecify.annotations.Nullable;

/**
 * The wording of messages about bad input: what was expected, what came instead, and what to do
 * about it.
 *
 * <pre>{@code
 * throw new IllegalArgumentException(
 *     Expected.message("k in [1, 512]", 600, "use a smaller k"));
 * // expected k in [1, 512], got 600; use a smaller k
 * }</pre>
 */
public final class Expected {
  private Expected() {}

  /**
   * Words a message.
   *
   * @param expected in the field's terms, such as {@code k in [1, 512]}
   * @param got what came instead
   * @param remedy what the reader can do, as an imperative without a full stop
   */
  public static String message(String expected, @Nullable Object got, String remedy) {
    return "expected " + expected + ", got " + got + "; " + remedy;
  }

  /**
   * Checks that a number is not too small.
   *
   * @return the number
   * @throws IllegalArgumentException if it is smaller than {@code min}
   */
  public static int atLeast(String name, int value, int min, String remedy) {
    if (value < min) {
      throw new IllegalArgumentException(message(name + " >= " + min, value, remedy));
    }
    return value;
  }

  /**
   * Checks that a number is not too small.
   *
   * @return the number
   * @throws IllegalArgumentException if it is smaller than {@code min}
   */
  public static long atLeast(String name, long value, long min, String remedy) {
    if (value < min) {
      throw new IllegalArgumentException(message(name + " >= " + min, value, remedy));
    }
    return value;
  }

  /**
   * Checks that a number is in a range, both ends included.
   *
   * @return the number
   * @throws IllegalArgumentException if it is not
   */
  public static int inRange(String name, int value, int min, int max, String remedy) {
    if (value < min || value > max) {
      throw new IllegalArgumentException(
          message(name + " in [" + min + ", " + max + "]", value, remedy));
    }
    return value;
  }
}
