package io.faithfulsae.synthetic.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.internal.RowReader;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.synthetic.Hierarchy;
import io.faithfulsae.synthetic.SyntheticFeatures;
import io.faithfulsae.synthetic.SyntheticFeatures.Layout;
import io.faithfulsae.synthetic.SyntheticFeatures.Magnitude;
import io.faithfulsae.synthetic.SyntheticFeatures.Superposition;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.OptionalLong;
import java.util.function.DoublePredicate;
import org.jspecify.annotations.Nullable;

/**
 * Rows generated from known directions; row i depends only on the recipe, the row seed and i. A
 * position is a row index.
 */
public final class SyntheticSource implements Superposition {
  // Streams of the recipe's seed.
  private static final long DIRECTIONS = 1;
  private static final long FIRING = 2;
  private static final long SCALES = 3;
  private static final long DEVIATIONS = 4;
  private static final long CAUSES = 5;
  private static final long FOREST = 6;
  private static final long BIAS = 7;

  private final SyntheticFeatures recipe;
  private final long rows;
  private final long seed;
  private final float[][] directions;
  private final float[] bias;
  private final double[] scales;
  private final double[] deviations;
  private final double[] means;
  private final Firing firing;
  private final @Nullable FeatureForest forest;

  /** Draws everything that all rows share. */
  public SyntheticSource(SyntheticFeatures recipe, long rows, long seed) {
    if (rows < 1) {
      throw new IllegalArgumentException(
          "expected rows >= 1, got " + rows + "; ask for at least one row");
    }
    this.recipe = recipe;
    this.rows = rows;
    this.seed = seed;
    int features = recipe.features();
    double[] probabilities = recipe.firing().values(features, seedOf(FIRING));
    check(probabilities, "firing probabilities in [0, 1]", p -> p >= 0 && p <= 1);
    this.scales = recipe.scale().values(features, seedOf(SCALES));
    check(scales, "scales >= 0", s -> s >= 0);
    this.deviations = recipe.deviation().values(features, seedOf(DEVIATIONS));
    check(deviations, "deviations >= 0", s -> s >= 0);
    this.means = Arrays.stream(scales).map(s -> s * mean(recipe.magnitude())).toArray();
    this.forest =
        recipe.hierarchy().map(h -> FeatureForest.grow(h, features, random(FOREST))).orElse(null);
    if (forest != null && recipe.hierarchy().orElseThrow().compensate()) {
      probabilities = forest.compensated(probabilities);
    }
    if (recipe.hierarchy().map(Hierarchy::scaleByParent).orElse(false)) {
      check(scales, "scales > 0 to scale children by their parents", s -> s > 0);
    }
    this.firing =
        new Firing(
            probabilities,
            Firing.causes(
                features, recipe.correlationRank(), recipe.correlationScale(), random(CAUSES)));
    double[][] unit = Directions.random(features, recipe.dIn(), random(DIRECTIONS));
    if (recipe.layout() == Layout.EVEN) {
      Directions.spread(unit);
    }
    this.directions = Directions.rounded(unit);
    this.bias = new float[recipe.dIn()];
    double[] towards = Directions.random(1, recipe.dIn(), random(BIAS))[0];
    for (int i = 0; i < bias.length; i++) {
      bias[i] = (float) (recipe.bias() * towards[i]);
    }
  }

  private Rng random(long stream) {
    return new Rng(Purpose.SYNTHETIC_RECIPE, recipe.seed(), stream);
  }

  private long seedOf(long stream) {
    return random(stream).nextLong();
  }

  private static void check(double[] values, String expected, DoublePredicate fits) {
    for (int f = 0; f < values.length; f++) {
      if (!fits.test(values[f])) {
        throw new IllegalArgumentException(
            "expected "
                + expected
                + ", got "
                + values[f]
                + " for feature "
                + f
                + "; change the recipe");
      }
    }
  }

  private static double mean(Magnitude magnitude) {
    return switch (magnitude) {
      case ONE, EXPONENTIAL -> 1;
      case UNIFORM -> 0.5;
      case HALF_NORMAL -> Math.sqrt(2 / Math.PI);
    };
  }

  @Override
  public float[][] directions() {
    return Arrays.stream(directions).map(float[]::clone).toArray(float[][]::new);
  }

  @Override
  public int dIn() {
    return recipe.dIn();
  }

  @Override
  public String description() {
    return recipe + ", " + rows + " rows, seed " + seed;
  }

  @Override
  public OptionalLong rowsAtMost(long enough) {
    return OptionalLong.of(rows);
  }

  @Override
  public void coefficients(long row, float[] into) {
    if (row < 0 || row >= rows || into.length != directions.length) {
      throw new IllegalArgumentException(
          "expected a row in [0, %d) and room for %d coefficients, got %d and %d; change that value"
              .formatted(rows, directions.length, row, into.length));
    }
    draw(into, new Rng(Purpose.SYNTHETIC_ROWS, seed, row));
  }

  @Override
  public ActivationReader open(long position) {
    return new RowReader(rows, position) {
      private final float[] row = new float[dIn()];
      private final float[] coefficients = new float[directions.length];

      @Override
      protected void copy(long first, int count, ActivationBatch into) {
        try (DeviceBuffer.Loan loan = into.buffer().lend()) {
          FloatBuffer data = loan.floats();
          for (int r = 0; r < count; r++) {
            fill(row, coefficients, first + r);
            data.put((into.rows() + r) * dIn(), row);
          }
        }
      }
    };
  }

  private void fill(float[] row, float[] coefficients, long number) {
    Rng rng = new Rng(Purpose.SYNTHETIC_ROWS, seed, number);
    draw(coefficients, rng);
    System.arraycopy(bias, 0, row, 0, row.length);
    for (int f = 0; f < coefficients.length; f++) {
      float coefficient = coefficients[f];
      if (coefficient > 0) {
        float[] direction = directions[f];
        for (int i = 0; i < row.length; i++) {
          row[i] += coefficient * direction[i];
        }
      }
    }
    if (recipe.noise() > 0) {
      for (int i = 0; i < row.length; i++) {
        row[i] += (float) (recipe.noise() * rng.nextGaussian());
      }
    }
  }

  private void draw(float[] coefficients, Rng rng) {
    double[] shared = firing.shared(rng);
    for (int f = 0; f < coefficients.length; f++) {
      coefficients[f] = firing.fires(f, shared, rng.nextDouble()) ? coefficient(f, rng) : 0;
    }
    if (forest != null) {
      forest.apply(coefficients, means, rng);
    }
  }

  private float coefficient(int feature, Rng rng) {
    double magnitude =
        switch (recipe.magnitude()) {
          case ONE -> 1;
          case UNIFORM -> rng.nextDouble();
          case HALF_NORMAL -> Math.abs(rng.nextGaussian());
          case EXPONENTIAL -> -StrictMath.log(1 - rng.nextDouble());
        };
    double value = scales[feature] * magnitude;
    if (deviations[feature] > 0) {
      value += deviations[feature] * rng.nextGaussian();
    }
    return (float) Math.max(0, value);
  }
}
