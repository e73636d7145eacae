package io.faithfulsae.synthetic;

import io.faithfulsae.ActivationSource;
import io.faithfulsae.io.Expected;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import io.faithfulsae.synthetic.internal.Coefficients;
import io.faithfulsae.synthetic.internal.Directions;
import io.faithfulsae.synthetic.internal.FeatureForest;
import io.faithfulsae.synthetic.internal.Firing;
import io.faithfulsae.synthetic.internal.SyntheticSource;
import io.faithfulsae.synthetic.internal.TrueFeatures;
import java.util.Optional;
import java.util.function.DoublePredicate;

/**
 * Known features: how often, how strongly and with which others they fire. A row is {@code x = Σ_f
 * c_f · direction_f + bias + noise}, with {@code c_f = max(0, scale_f · m + deviation_f · N(0, 1))}
 * if feature f fires (m is drawn from the {@link Magnitude} each time) and 0 if it does not. A
 * feature with coefficient 0 did not fire.
 *
 * <p><b>Source</b>: toy models of superposition (Elhage et al., 2022), with the options of SAELens'
 * {@code sae_lens.synthetic}: its magnitudes are {@link Magnitude#ONE} with a scale (its mean) and
 * a deviation (its std) for each feature.
 *
 * @param features number of directions, at least 1
 * @param dIn width of a row, at least 1
 * @param layout how the directions are arranged
 * @param firing firing probability of each feature, in [0, 1]; 0 for one that never fires, so that
 *     two recipes can share directions but differ in which of them occur
 * @param magnitude distribution of a coefficient in units of its scale
 * @param scale of each feature's coefficients, at least 0
 * @param deviation standard deviation of the noise added to each feature's coefficients
 * @param correlationRank number of shared latent factors; 0 for features that fire independently
 * @param correlationScale strength of the factors: feature f fires if a Gaussian {@code Σ_r A_fr
 *     ε_r + √(1 − Σ_r A_fr²) η_f} exceeds the threshold of its probability; A is drawn from N(0,
 *     scale²), and rows longer than √0.99 are scaled to that length. Keep rank · scale² below 1.
 * @param hierarchy which features require which, if any
 * @param bias length of a constant vector, in a random direction, added to each row
 * @param noise standard deviation of Gaussian noise on each element; 0 for none
 * @param seed random seed of the directions and everything else drawn once; rows have a separate
 *     seed
 */
public record SyntheticFeatures(
    int features,
    int dIn,
    Layout layout,
    PerFeature firing,
    Magnitude magnitude,
    PerFeature scale,
    PerFeature deviation,
    int correlationRank,
    double correlationScale,
    Optional<Hierarchy> hierarchy,
    double bias,
    double noise,
    long seed) {

  /** Distributions of coefficients. */
  public enum Magnitude {
    /** Always 1. */
    ONE,
    /** Uniform in [0, 1). */
    UNIFORM,
    /** |N(0, 1)|. */
    HALF_NORMAL,
    /** Exponential with mean 1. */
    EXPONENTIAL;

    private double mean() {
      return switch (this) {
        case ONE, EXPONENTIAL -> 1;
        case UNIFORM -> 0.5;
        case HALF_NORMAL -> Math.sqrt(2 / Math.PI);
      };
    }

    private double draw(Rng rng) {
      return switch (this) {
        case ONE -> 1;
        case UNIFORM -> rng.nextDouble();
        case HALF_NORMAL -> Math.abs(rng.nextGaussian());
        case EXPONENTIAL -> -StrictMath.log(1 - rng.nextDouble());
      };
    }
  }

  /** Streams of the recipe's seed. */
  private enum Stream {
    DIRECTIONS(1),
    FIRING(2),
    SCALES(3),
    DEVIATIONS(4),
    CAUSES(5),
    FOREST(6),
    BIAS(7);

    private final long number;

    Stream(long number) {
      this.number = number;
    }
  }

  /** A source whose true features are known; positions are row numbers. */
  public interface Superposition extends ActivationSource {
    /** The true directions, unit rows: <b>Shape</b> {@code [features, dIn]}, a copy. */
    float[][] directions();

    /**
     * The true coefficients of a row, 0 for a feature that does not fire.
     *
     * @param row its number
     * @param into <b>Shape</b> {@code [features]}. Modified.
     * @throws IllegalArgumentException if there is no such row, or {@code into} has another length
     */
    void coefficients(long row, float[] into);
  }

  /** How directions are arranged. */
  public enum Layout {
    /** Each drawn uniformly from the unit sphere. */
    RANDOM,
    /**
     * As evenly as d_in allows: random directions, moved until the sum of their squared cosines is
     * minimal. They are then orthogonal, or, with more directions than dimensions, the squared
     * cosines of each sum to features / d_in (a tight frame). Takes about 50 rounds of features ·
     * d_in² operations.
     */
    EVEN
  }

  /**
   * Checks the ranges; values per feature are checked when a source is created.
   *
   * @throws IllegalArgumentException if one is out of range
   */
  public SyntheticFeatures {
    if (features < 1 || dIn < 1) {
      throw wrong("features and d_in >= 1", features + " and " + dIn);
    }
    if (correlationRank < 0 || !(correlationScale >= 0 && correlationScale < 1e6)) {
      throw wrong(
          "a correlation of rank and scale >= 0", correlationRank + " and " + correlationScale);
    }
    if (!(bias >= 0 && bias < Double.POSITIVE_INFINITY)) {
      throw wrong("a bias of length >= 0", bias);
    }
    if (!(noise >= 0 && noise < Double.POSITIVE_INFINITY)) {
      throw wrong("noise >= 0", noise);
    }
  }

  private static IllegalArgumentException wrong(String expected, Object got) {
    return new IllegalArgumentException(Expected.message(expected, got, "change that value"));
  }

  /**
   * Creates a source of rows with these features. Sources of one recipe with different seeds have
   * the same features and different rows; use them for training and for evaluation.
   *
   * @param rows number of rows
   * @param rowSeed random seed of the rows
   * @throws IllegalArgumentException if {@code rows < 1}, or a value per feature is out of range
   */
  public Superposition source(long rows, long rowSeed) {
    Expected.atLeast("rows", rows, 1, "ask for at least one row");
    double[] probabilities =
        values(firing, Stream.FIRING, "firing probabilities in [0, 1]", p -> p >= 0 && p <= 1);
    boolean scaledByParent = hierarchy.map(Hierarchy::scaleByParent).orElse(false);
    double[] scales =
        scaledByParent
            ? values(
                scale, Stream.SCALES, "scales > 0 to scale children by their parents", s -> s > 0)
            : values(scale, Stream.SCALES, "scales >= 0", s -> s >= 0);
    double[] deviations = values(deviation, Stream.DEVIATIONS, "deviations >= 0", s -> s >= 0);
    FeatureForest forest =
        hierarchy.map(h -> FeatureForest.grow(h, features, random(Stream.FOREST))).orElse(null);
    if (forest != null && hierarchy.map(Hierarchy::compensate).orElse(false)) {
      probabilities = forest.compensated(probabilities);
    }
    double[][] causes =
        Firing.causes(features, correlationRank, correlationScale, random(Stream.CAUSES));
    double[][] directions = Directions.random(features, dIn, random(Stream.DIRECTIONS));
    if (layout == Layout.EVEN) {
      Directions.spread(directions);
    }
    float[] constant = new float[dIn];
    double[] towards = Directions.random(1, dIn, random(Stream.BIAS))[0];
    for (int i = 0; i < dIn; i++) {
      constant[i] = (float) (bias * towards[i]);
    }
    TrueFeatures drawn =
        new TrueFeatures(
            toString(),
            Directions.rounded(directions),
            constant,
            new Firing(probabilities, causes),
            new Coefficients(scales, deviations, magnitude::draw, magnitude.mean()),
            forest,
            noise);
    return new Rows(drawn, rows, rowSeed);
  }

  private Rng random(Stream stream) {
    return new Rng(Purpose.SYNTHETIC_RECIPE, seed, stream.number);
  }

  private double[] values(PerFeature given, Stream stream, String expected, DoublePredicate fits) {
    double[] values = given.values(features, random(stream).nextLong());
    for (int f = 0; f < values.length; f++) {
      if (!fits.test(values[f])) {
        throw new IllegalArgumentException(
            Expected.message(expected, values[f] + " for feature " + f, "change the recipe"));
      }
    }
    return values;
  }

  private static final class Rows extends SyntheticSource implements Superposition {
    Rows(TrueFeatures features, long rows, long seed) {
      super(features, rows, seed);
    }
  }

  /**
   * Rows as in toy models of superposition: each is a sum of a few unit directions with positive
   * coefficients, plus noise. Directions are random; see {@link Superposition#directions()}. {@link
   * #builder} has all options.
   *
   * @param features number of directions
   * @param dIn width of a row
   * @param l0 mean number of directions per row; each is active independently with probability
   *     {@code l0 / features}
   * @param magnitude distribution of the coefficients
   * @param noise standard deviation of Gaussian noise on each element; 0 for none
   * @param rows number of rows
   * @param seed random seed of directions and rows
   */
  public static Superposition superposition(
      int features, int dIn, double l0, Magnitude magnitude, double noise, long rows, long seed) {
    if (!(l0 > 0 && l0 <= features)) {
      throw new IllegalArgumentException(
          Expected.message("l0 in (0, features = " + features + "]", l0, "lower it"));
    }
    return builder(features, dIn)
        .firing(PerFeature.constant(l0 / features))
        .magnitude(magnitude)
        .noise(noise)
        .seed(seed)
        .build()
        .source(rows, seed);
  }

  /**
   * A builder with random directions that fire independently with probability 0.01 and coefficient
   * 1, no bias and no noise, seed 1.
   *
   * @param features number of directions
   * @param dIn width of a row
   */
  public static Builder builder(int features, int dIn) {
    return new Builder(features, dIn);
  }

  /** A builder with these values. */
  public Builder toBuilder() {
    Builder b = new Builder(features, dIn);
    b.layout = layout;
    b.firing = firing;
    b.magnitude = magnitude;
    b.scale = scale;
    b.deviation = deviation;
    b.correlationRank = correlationRank;
    b.correlationScale = correlationScale;
    b.hierarchy = hierarchy;
    b.bias = bias;
    b.noise = noise;
    b.seed = seed;
    return b;
  }

  /** Collects values; {@link #build()} checks them. Each method returns this. */
  public static final class Builder {
    private final int features;
    private final int dIn;
    private Layout layout = Layout.RANDOM;
    private PerFeature firing = PerFeature.constant(0.01);
    private Magnitude magnitude = Magnitude.ONE;
    private PerFeature scale = PerFeature.constant(1);
    private PerFeature deviation = PerFeature.constant(0);
    private int correlationRank;
    private double correlationScale;
    private Optional<Hierarchy> hierarchy = Optional.empty();
    private double bias;
    private double noise;
    private long seed = 1;

    private Builder(int features, int dIn) {
      this.features = features;
      this.dIn = dIn;
    }

    /** How the directions are arranged. */
    public Builder layout(Layout value) {
      this.layout = value;
      return this;
    }

    /** Firing probabilities. */
    public Builder firing(PerFeature value) {
      this.firing = value;
      return this;
    }

    /** Distribution of a coefficient in units of its scale. */
    public Builder magnitude(Magnitude value) {
      this.magnitude = value;
      return this;
    }

    /** Scales of the coefficients. */
    public Builder scale(PerFeature value) {
      this.scale = value;
      return this;
    }

    /** Standard deviations of the noise added to the coefficients. */
    public Builder deviation(PerFeature value) {
      this.deviation = value;
      return this;
    }

    /**
     * Correlates the firing of features, positively or negatively, through shared latent factors.
     *
     * @param rank number of factors
     * @param strength standard deviation of a feature's loading on a factor; SAELens uses 0.075
     */
    public Builder correlated(int rank, double strength) {
      this.correlationRank = rank;
      this.correlationScale = strength;
      return this;
    }

    /** Which features require which. */
    public Builder hierarchy(Hierarchy value) {
      this.hierarchy = Optional.of(value);
      return this;
    }

    /** Length of a constant vector added to each row. */
    public Builder bias(double length) {
      this.bias = length;
      return this;
    }

    /** Standard deviation of Gaussian noise on each element. */
    public Builder noise(double value) {
      this.noise = value;
      return this;
    }

    /** Random seed of the directions and everything else drawn once. */
    public Builder seed(long value) {
      this.seed = value;
      return this;
    }

    /**
     * Checks and builds.
     *
     * @throws IllegalArgumentException if a value is out of range
     */
    public SyntheticFeatures build() {
      return new SyntheticFeatures(
          features,
          dIn,
          layout,
          firing,
          magnitude,
          scale,
          deviation,
          correlationRank,
          correlationScale,
          hierarchy,
          bias,
          noise,
          seed);
    }
  }
}
