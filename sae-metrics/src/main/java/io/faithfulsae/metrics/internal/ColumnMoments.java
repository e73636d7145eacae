package io.faithfulsae.metrics.internal;

import java.util.Arrays;

/**
 * Mean and sum of squared deviations of each column over batches of rows, in one pass: the moments
 * of each batch are computed in double precision and merged as in Chan, Golub and LeVeque,
 * "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979. A sum of
 * squares minus a squared sum would cancel catastrophically where the mean is large, as it is in
 * residual streams.
 */
public final class ColumnMoments {
  private final double[] mean;
  private final double[] squares;
  private final double[] batchMean;
  private final double[] batchSquares;
  private long count;

  /** Starts without rows. */
  public ColumnMoments(int columns) {
    this.mean = new double[columns];
    this.squares = new double[columns];
    this.batchMean = new double[columns];
    this.batchSquares = new double[columns];
  }

  /**
   * Adds rows.
   *
   * @param data <b>Shape</b> {@code [rows, columns]}. Not modified.
   */
  public void add(float[] data, int rows) {
    if (rows == 0) {
      return;
    }
    int columns = mean.length;
    Arrays.fill(batchMean, 0);
    Arrays.fill(batchSquares, 0);
    for (int r = 0; r < rows; r++) {
      int at = r * columns;
      for (int j = 0; j < columns; j++) {
        batchMean[j] += data[at + j];
      }
    }
    for (int j = 0; j < columns; j++) {
      batchMean[j] /= rows;
    }
    for (int r = 0; r < rows; r++) {
      int at = r * columns;
      for (int j = 0; j < columns; j++) {
        double deviation = data[at + j] - batchMean[j];
        batchSquares[j] += deviation * deviation;
      }
    }
    long total = count + rows;
    double share = (double) rows / total;
    for (int j = 0; j < columns; j++) {
      double shift = batchMean[j] - mean[j];
      mean[j] += shift * share;
      squares[j] += batchSquares[j] + shift * shift * share * count;
    }
    count = total;
  }

  /** The mean of each column. Not copied. */
  double[] means() {
    return mean;
  }

  /** Σ over rows and columns of (x − mean of its column)². */
  public double aroundColumnMeans() {
    double sum = 0;
    for (double square : squares) {
      sum += square;
    }
    return sum;
  }

  /** Σ over rows and columns of (x − mean of all elements)². */
  public double aroundGrandMean() {
    double grand = 0;
    for (double m : mean) {
      grand += m / mean.length;
    }
    double between = 0;
    for (double m : mean) {
      between += (m - grand) * (m - grand);
    }
    return aroundColumnMeans() + count * between;
  }
}
