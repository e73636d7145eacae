package io.faithfulsae.internal;

import io.faithfulsae.SaeConfig.Normalization;
import java.nio.FloatBuffer;

/** Normalizes each row before it is encoded, and undoes that after it is decoded. */
public final class RowNormalizer {
  private static final double EPS = 1e-5;

  private RowNormalizer() {}

  /** The shift and scale of each row; the identity until rows are normalized. */
  public static final class Undo {
    private float[] shift = new float[0];
    private float[] scale = new float[0];
    private boolean identity = true;

    /** Undoes the normalization on decoded rows: {@code x · scale + shift}. */
    public void apply(FloatBuffer data, int rows, int dIn) {
      if (identity) {
        return;
      }
      float[] row = new float[dIn];
      for (int r = 0; r < rows; r++) {
        data.get(r * dIn, row);
        for (int i = 0; i < dIn; i++) {
          row[i] = row[i] * scale[r] + shift[r];
        }
        data.put(r * dIn, row);
      }
    }

    /** Whether there is nothing to undo. */
    public boolean isIdentity() {
      return identity;
    }

    /** Resets to the identity. */
    public void reset() {
      identity = true;
    }

    /** Copies another one's shifts and scales. */
    public void copy(Undo other) {
      identity = other.identity;
      if (!identity) {
        shift = other.shift.clone();
        scale = other.scale.clone();
      }
    }

    /** The factor for row r. */
    public double scale(int r) {
      return identity ? 1 : scale[r];
    }

    private void ensure(int rows) {
      identity = false;
      if (scale.length < rows) {
        shift = new float[rows];
        scale = new float[rows];
      }
    }
  }

  /**
   * Normalizes rows. {@code CONSTANT_NORM_RESCALE} leaves rows of zeros unchanged.
   *
   * @param from <b>Shape</b> {@code [rows, dIn]} from index 0. Not modified.
   * @param into <b>Shape</b> {@code [rows, dIn]} from index 0; may be {@code from}. Modified.
   * @param undo receives what undoes it. Modified.
   */
  public static void apply(
      Normalization how, FloatBuffer from, FloatBuffer into, int rows, int dIn, Undo undo) {
    if (how == Normalization.NONE) {
      into.put(0, from, 0, rows * dIn);
      undo.reset();
      return;
    }
    undo.ensure(rows);
    float[] row = new float[dIn];
    for (int r = 0; r < rows; r++) {
      from.get(r * dIn, row);
      switch (how) {
        case CONSTANT_NORM_RESCALE -> rescale(row, undo, r);
        case UNIT_NORM -> standardize(row, undo, r);
        case NONE -> throw new AssertionError();
      }
      into.put(r * dIn, row);
    }
  }

  private static void rescale(float[] row, Undo undo, int r) {
    double squares = 0;
    for (float x : row) {
      squares += (double) x * x;
    }
    double factor = squares == 0 ? 1 : Math.sqrt(row.length / squares);
    for (int i = 0; i < row.length; i++) {
      row[i] = (float) (row[i] * factor);
    }
    undo.shift[r] = 0;
    undo.scale[r] = (float) (1 / factor);
  }

  private static void standardize(float[] row, Undo undo, int r) {
    double sum = 0;
    for (float x : row) {
      sum += x;
    }
    double mean = sum / row.length;
    double squares = 0;
    for (float x : row) {
      squares += (x - mean) * (x - mean);
    }
    double deviation = Math.sqrt(squares / Math.max(1, row.length - 1));
    for (int i = 0; i < row.length; i++) {
      row[i] = (float) ((row[i] - mean) / (deviation + EPS));
    }
    undo.shift[r] = (float) mean;
    undo.scale[r] = (float) deviation;
  }
}
