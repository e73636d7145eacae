package io.faithfulsae.synthetic.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.internal.RowReader;
import io.faithfulsae.io.Expected;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.OptionalLong;

/**
 * Rows generated from known directions; row i depends only on the features, the row seed and i. A
 * position is a row index.
 */
public abstract class SyntheticSource implements ActivationSource {
  private final TrueFeatures features;
  private final double[] means;
  private final long rows;
  private final long seed;

  /** A source of {@code rows} rows, which {@code seed} decides. */
  protected SyntheticSource(TrueFeatures features, long rows, long seed) {
    this.features = features;
    this.means = features.coefficients().means();
    this.rows = rows;
    this.seed = seed;
  }

  /** A copy of the true directions. */
  public float[][] directions() {
    return Arrays.stream(features.directions()).map(float[]::clone).toArray(float[][]::new);
  }

  @Override
  public int dIn() {
    return features.bias().length;
  }

  @Override
  public String description() {
    return features.description() + ", " + rows + " rows, seed " + seed;
  }

  @Override
  public OptionalLong rowsAtMost(long enough) {
    return OptionalLong.of(rows);
  }

  /** Writes the true coefficients of a row into the array. */
  public void coefficients(long row, float[] into) {
    if (row < 0 || row >= rows || into.length != features.directions().length) {
      throw new IllegalArgumentException(
          Expected.message(
              "a row in [0, %d) and room for %d coefficients"
                  .formatted(rows, features.directions().length),
              "%d and %d".formatted(row, into.length),
              "change that value"));
    }
    draw(into, new Rng(Purpose.SYNTHETIC_ROWS, seed, row));
  }

  @Override
  public ActivationReader open(long position) {
    return new RowReader(rows, position) {
      private final float[] row = new float[dIn()];
      private final float[] coefficients = new float[features.directions().length];

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
    System.arraycopy(features.bias(), 0, row, 0, row.length);
    for (int f = 0; f < coefficients.length; f++) {
      float coefficient = coefficients[f];
      if (coefficient > 0) {
        float[] direction = features.directions()[f];
        for (int i = 0; i < row.length; i++) {
          row[i] += coefficient * direction[i];
        }
      }
    }
    double noise = features.noise();
    if (noise > 0) {
      for (int i = 0; i < row.length; i++) {
        row[i] += (float) (noise * rng.nextGaussian());
      }
    }
  }

  private void draw(float[] coefficients, Rng rng) {
    Firing firing = features.firing();
    FeatureForest forest = features.forest();
    double[] shared = firing.shared(rng);
    for (int f = 0; f < coefficients.length; f++) {
      coefficients[f] =
          firing.fires(f, shared, rng.nextDouble()) ? features.coefficients().draw(f, rng) : 0;
    }
    if (forest != null) {
      forest.apply(coefficients, means, rng);
    }
  }
}
