package io.faithfulsae.synthetic;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.Fingerprint;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * A number for each feature, such as its firing probability or its scale.
 *
 * <p><b>Source</b>: the distributions of SAELens' {@code sae_lens.synthetic} (firing_probabilities,
 * firing_magnitudes), with the same parameters.
 *
 * @param shape how the numbers depend on the feature's index
 * @param numbers parameters of the shape, in the order of its factory method
 */
public record PerFeature(Shape shape, List<Double> numbers) {

  /** How numbers depend on the index of features 0 … n − 1. */
  public enum Shape {
    /** The same value for all features. */
    CONSTANT,
    /** Each as given. */
    GIVEN,
    /** From the first to the last in equal steps. */
    LINEAR,
    /** From the first to the last by equal factors. */
    EXPONENTIAL,
    /** A power law over ranks, scaled to a range. */
    ZIPF,
    /** Drawn uniformly from a range. */
    UNIFORM,
    /** Drawn as |N(mean, std²)|. */
    FOLDED_NORMAL
  }

  /**
   * Copies the list.
   *
   * @throws IllegalArgumentException if a number is not finite or not valid for the shape
   */
  public PerFeature {
    numbers = List.copyOf(numbers);
    boolean fits = numbers.stream().allMatch(Double::isFinite) && allows(shape, numbers);
    if (!fits) {
      throw new IllegalArgumentException(
          Expected.message(
              "finite numbers that fit (EXPONENTIAL: above 0; ZIPF: an exponent above 0 and most > least;"
                  + " UNIFORM: least <= most; FOLDED_NORMAL: std > 0; GIVEN: one or more)",
              shape + " of " + numbers,
              "correct them"));
    }
  }

  private static boolean allows(Shape shape, List<Double> n) {
    return switch (shape) {
      case CONSTANT -> n.size() == 1;
      case GIVEN -> !n.isEmpty();
      case LINEAR -> n.size() == 2;
      case EXPONENTIAL -> n.size() == 2 && n.get(0) > 0 && n.get(1) > 0;
      case ZIPF -> n.size() == 3 && n.get(0) > 0 && n.get(1) > n.get(2);
      case UNIFORM -> n.size() == 2 && n.get(0) <= n.get(1);
      case FOLDED_NORMAL -> n.size() == 2 && n.get(1) > 0;
    };
  }

  /** The same value for all features. */
  public static PerFeature constant(double value) {
    return new PerFeature(Shape.CONSTANT, List.of(value));
  }

  /** The given values, one per feature. */
  public static PerFeature given(double... values) {
    return new PerFeature(
        Shape.GIVEN, Arrays.stream(values).boxed().collect(Collectors.toUnmodifiableList()));
  }

  /** {@code first + (last − first) · i / (n − 1)}. */
  public static PerFeature linear(double first, double last) {
    return new PerFeature(Shape.LINEAR, List.of(first, last));
  }

  /** {@code first · (last / first)^(i / (n − 1))}, both above 0. */
  public static PerFeature exponential(double first, double last) {
    return new PerFeature(Shape.EXPONENTIAL, List.of(first, last));
  }

  /**
   * A few large values, most small: {@code (i + 1)^−exponent}, shifted and scaled so that feature 0
   * has {@code most} and feature n − 1 has {@code least}.
   */
  public static PerFeature zipf(double exponent, double most, double least) {
    return new PerFeature(Shape.ZIPF, List.of(exponent, most, least));
  }

  /** Drawn uniformly from [least, most). */
  public static PerFeature uniform(double least, double most) {
    return new PerFeature(Shape.UNIFORM, List.of(least, most));
  }

  /** Drawn as the absolute value of a normal variable. */
  public static PerFeature foldedNormal(double mean, double std) {
    return new PerFeature(Shape.FOLDED_NORMAL, List.of(mean, std));
  }

  /**
   * The numbers of features 0 … n − 1. With one feature, the first of a range.
   *
   * @param seed random seed of drawn values
   * @throws IllegalArgumentException if the number of given values differs from {@code features}
   */
  public double[] values(int features, long seed) {
    if (shape == Shape.GIVEN && numbers.size() != features) {
      throw new IllegalArgumentException(
          Expected.message(
              "a number for each of " + features + " features",
              numbers.size(),
              "give one per feature"));
    }
    Rng rng = new Rng(Purpose.SYNTHETIC_FEATURES, seed);
    return IntStream.range(0, features).mapToDouble(i -> value(i, features, rng)).toArray();
  }

  /** For provenance: the shape and its parameters; long lists are replaced by their hash. */
  @Override
  public String toString() {
    String text = numbers.toString();
    return shape
        + (numbers.size() <= 8
            ? text
            : "[" + numbers.size() + " values sha256:" + new Fingerprint().add(text).hex() + "]");
  }

  private double value(int i, int features, Rng rng) {
    double first = numbers.get(0);
    double share = features == 1 ? 0 : (double) i / (features - 1);
    return switch (shape) {
      case CONSTANT -> first;
      case GIVEN -> numbers.get(i);
      case LINEAR -> first + (numbers.get(1) - first) * share;
      case EXPONENTIAL -> first * StrictMath.pow(numbers.get(1) / first, share);
      case ZIPF -> {
        double last = StrictMath.pow(features, -first);
        double fall = features == 1 ? 1 : (StrictMath.pow(i + 1, -first) - last) / (1 - last);
        yield numbers.get(2) + (numbers.get(1) - numbers.get(2)) * fall;
      }
      case UNIFORM -> first + (numbers.get(1) - first) * rng.nextDouble();
      case FOLDED_NORMAL -> Math.abs(first + numbers.get(1) * rng.nextGaussian());
    };
  }
}
