package io.faithfulsae.synthetic.internal;

import io.faithfulsae.random.Rng;
import java.util.Arrays;
import java.util.function.ToDoubleFunction;

/**
 * How strongly features fire: {@code max(0, scale_f · m + deviation_f · N(0, 1))}, with a magnitude
 * m drawn each time.
 */
public final class Coefficients {
  private final double[] scales;
  private final double[] deviations;
  private final ToDoubleFunction<Rng> magnitude;
  private final double meanMagnitude;

  /**
   * Keeps the arrays.
   *
   * @param scales one per feature
   * @param deviations one per feature
   * @param magnitude draws m
   * @param meanMagnitude the mean of m
   */
  public Coefficients(
      double[] scales, double[] deviations, ToDoubleFunction<Rng> magnitude, double meanMagnitude) {
    this.scales = scales;
    this.deviations = deviations;
    this.magnitude = magnitude;
    this.meanMagnitude = meanMagnitude;
  }

  /** The mean coefficient of each feature that fires, apart from what the cut at 0 changes. */
  double[] means() {
    return Arrays.stream(scales).map(scale -> scale * meanMagnitude).toArray();
  }

  /** Draws the coefficient of a feature that fires. */
  float draw(int feature, Rng rng) {
    double value = scales[feature] * magnitude.applyAsDouble(rng);
    if (deviations[feature] > 0) {
      value += deviations[feature] * rng.nextGaussian();
    }
    return (float) Math.max(0, value);
  }
}
