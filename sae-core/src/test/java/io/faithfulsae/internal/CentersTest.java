package io.faithfulsae.internal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import org.junit.jupiter.api.Test;

class CentersTest {

  @Test
  void anOutlierMovesTheMeanAndNotTheMedian() {
    float[] rows = {0, 0, 2, 0, 0, 2, 2, 2, 1, 1, 1001, 1};
    assertArrayEquals(new double[] {1006 / 6.0, 1}, Centers.mean(rows, 2), 1e-9);
    assertArrayEquals(new double[] {1, 1}, Centers.geometricMedian(rows, 2), 0.35);
  }

  @Test
  void theMedianOfATriangleIsItsFermatPoint() {
    // Seen from the center of an equilateral triangle, the corners are 120 degrees apart.
    float height = (float) Math.sqrt(3);
    float[] corners = {-1, 0, 1, 0, 0, height};
    assertArrayEquals(new double[] {0, height / 3}, Centers.geometricMedian(corners, 2), 1e-6);
    // The same holds for this point of a right triangle (computed from the definition).
    float[] right = {0, 0, 1, 0, 0, 1};
    double fermat = (3 - Math.sqrt(3)) / 6;
    assertArrayEquals(new double[] {fermat, fermat}, Centers.geometricMedian(right, 2), 1e-6);
  }
}
