package io.faithfulsae.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.Finite;
import java.nio.FloatBuffer;

/** A tensor to be written contains NaN or infinity. */
public final class NonFiniteException extends IllegalStateException {
  private static final long serialVersionUID = 1L;

  private final String tensor;
  private final float value;

  private NonFiniteException(String tensor, float value) {
    super(
        Expected.message(
            "finite values in " + tensor + " to be saved",
            value,
            "load the SAE again, or train it with a lower learning rate"));
    this.tensor = tensor;
    this.value = value;
  }

  /**
   * Checks the values between position and limit; changes neither.
   *
   * @param tensor the tensor's name
   */
  public static void check(String tensor, FloatBuffer values) {
    int at = Finite.firstOther(values);
    if (at >= 0) {
      throw new NonFiniteException(tensor, values.get(values.position() + at));
    }
  }

  /** The tensor's name. */
  public String tensor() {
    return tensor;
  }

  /** The value found. */
  public float value() {
    return value;
  }
}
