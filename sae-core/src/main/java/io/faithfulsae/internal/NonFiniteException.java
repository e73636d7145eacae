package io.faithfulsae.internal;

import io.faithfulsae.io.Finite;
import java.nio.FloatBuffer;

/** A tensor that is to be written holds NaN or infinity. */
public final class NonFiniteException extends IllegalStateException {
  private static final long serialVersionUID = 1L;

  private final String tensor;
  private final float value;

  private NonFiniteException(String tensor, float value) {
    super(
        "expected finite values in "
            + tensor
            + " to be saved, got "
            + value
            + "; load the SAE again, or train it with a lower learning rate");
    this.tensor = tensor;
    this.value = value;
  }

  /**
   * Checks values between position and limit, which stay.
   *
   * @param tensor whose values they are
   */
  public static void check(String tensor, FloatBuffer values) {
    int at = Finite.firstOther(values);
    if (at >= 0) {
      throw new NonFiniteException(tensor, values.get(values.position() + at));
    }
  }

  /** Its name. */
  public String tensor() {
    return tensor;
  }

  /** What stands in it. */
  public float value() {
    return value;
  }
}
