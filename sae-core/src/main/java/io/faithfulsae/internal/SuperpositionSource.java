package io.faithfulsae.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSources.Magnitude;
import io.faithfulsae.ActivationSources.Superposition;
import java.util.Arrays;
import java.util.OptionalLong;

/**
 * Rows made from known directions; row i depends on the seed and i alone. A position is a row
 * number.
 */
public final class SuperpositionSource implements Superposition {
  private final float[][] directions;
  private final int dIn;
  private final double l0;
  private final Magnitude magnitude;
  private final double noise;
  private final long rows;
  private final long seed;

  /** Draws the directions. */
  public SuperpositionSource(
      int features, int dIn, double l0, Magnitude magnitude, double noise, long rows, long seed) {
    if (features < 1 || dIn < 1 || rows < 1 || !(l0 > 0 && l0 <= features) || !(noise >= 0)) {
      throw new IllegalArgumentException(
          "expected features, d_in and rows >= 1, l0 in (0, features] and noise >= 0, got features = %d, d_in = %d, rows = %d, l0 = %s, noise = %s; mend: change that value"
              .formatted(features, dIn, rows, l0, noise));
    }
    this.dIn = dIn;
    this.l0 = l0;
    this.magnitude = magnitude;
    this.noise = noise;
    this.rows = rows;
    this.seed = seed;
    this.directions = new float[features][];
    Rng rng = new Rng(seed, -1);
    for (int f = 0; f < features; f++) {
      directions[f] = unitVector(rng, dIn);
    }
  }

  private static float[] unitVector(Rng rng, int size) {
    double[] values = new double[size];
    double squares = 0;
    for (int i = 0; i < size; i++) {
      values[i] = rng.nextGaussian();
      squares += values[i] * values[i];
    }
    float[] unit = new float[size];
    for (int i = 0; i < size; i++) {
      unit[i] = (float) (values[i] / Math.sqrt(squares));
    }
    return unit;
  }

  @Override
  public float[][] directions() {
    return Arrays.stream(directions).map(float[]::clone).toArray(float[][]::new);
  }

  @Override
  public int dIn() {
    return dIn;
  }

  @Override
  public String description() {
    return "superposition of %d directions in %d dimensions, l0 %s, %s coefficients, noise %s, %d rows, seed %d"
        .formatted(directions.length, dIn, l0, magnitude, noise, rows, seed);
  }

  @Override
  public OptionalLong rowsAtMost(long enough) {
    return OptionalLong.of(rows);
  }

  @Override
  public ActivationReader open(long position) {
    return new RowReader(rows, position) {
      private final float[] row = new float[dIn];

      @Override
      protected void copy(long first, int count, ActivationBatch into) {
        for (int r = 0; r < count; r++) {
          fill(row, first + r);
          into.data().put((into.rows() + r) * dIn, row);
        }
      }
    };
  }

  private void fill(float[] row, long number) {
    Rng rng = new Rng(seed, number);
    Arrays.fill(row, 0);
    for (float[] direction : directions) {
      if (rng.nextDouble() * directions.length < l0) {
        float coefficient =
            switch (magnitude) {
              case ONE -> 1;
              case UNIFORM -> (float) rng.nextDouble();
              case HALF_NORMAL -> (float) Math.abs(rng.nextGaussian());
            };
        for (int i = 0; i < dIn; i++) {
          row[i] += coefficient * direction[i];
        }
      }
    }
    if (noise > 0) {
      for (int i = 0; i < dIn; i++) {
        row[i] += (float) (noise * rng.nextGaussian());
      }
    }
  }
}
