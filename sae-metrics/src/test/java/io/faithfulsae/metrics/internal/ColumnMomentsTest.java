package io.faithfulsae.metrics.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

class ColumnMomentsTest {
  private static final int COLUMNS = 3;

  @Test
  void keepsASmallVarianceNextToALargeMean() {
    Random random = new Random(5);
    int rows = 20_000;
    float[] data = new float[rows * COLUMNS];
    for (int i = 0; i < data.length; i++) {
      data[i] = (i % COLUMNS == 0 ? 100_000 : -7) + (float) random.nextGaussian();
    }
    ColumnMoments moments = new ColumnMoments(COLUMNS);
    for (int at = 0; at < rows; at += 7) {
      int count = Math.min(7, rows - at);
      moments.add(Arrays.copyOfRange(data, at * COLUMNS, (at + count) * COLUMNS), count);
    }
    double[] mean = new double[COLUMNS];
    for (int i = 0; i < data.length; i++) {
      mean[i % COLUMNS] += (double) data[i] / rows;
    }
    double grand = (mean[0] + mean[1] + mean[2]) / 3;
    double aroundColumns = 0;
    double aroundGrand = 0;
    for (int i = 0; i < data.length; i++) {
      aroundColumns += Math.pow(data[i] - mean[i % COLUMNS], 2);
      aroundGrand += Math.pow(data[i] - grand, 2);
    }
    assertEquals(aroundColumns, moments.aroundColumnMeans(), 1e-9 * aroundColumns);
    assertEquals(aroundGrand, moments.aroundGrandMean(), 1e-9 * aroundGrand);
  }

  @Test
  void isZeroForNoRowsAndForOneRow() {
    ColumnMoments moments = new ColumnMoments(2);
    moments.add(new float[0], 0);
    assertEquals(0, moments.aroundColumnMeans());
    moments.add(new float[] {3, 5}, 1);
    assertEquals(0, moments.aroundColumnMeans());
    assertEquals(2, moments.aroundGrandMean(), 1e-15);
  }
}
