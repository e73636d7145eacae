package io.faithfulsae.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.conformance.AnySae.Kind;
import io.faithfulsae.conformance.AnySae.Rows;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.Selection;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Encoding real numbers with every activation but TopK: values within rounding, and what is chosen
 * right but for latents that rounding may move across their threshold, or past each other.
 */
public interface RealActivationCases extends ConformanceCases {

  static Stream<Arguments> realShapes() {
    int[][] shapes = {{1, 2, 4, 2}, {9, 17, 33, 3}, {31, 100, 1008, 24}, {70, 300, 2100, 12}};
    return Stream.of(Kind.values())
        .flatMap(kind -> Stream.of(shapes).map(s -> Arguments.of(kind, s[0], s[1], s[2], s[3])));
  }

  @ParameterizedTest(name = "{0}, rows {1}, dIn {2}, dSae {3}, k {4}")
  @MethodSource("realShapes")
  default void realsChooseWithinRounding(Kind kind, int rows, int dIn, int dSae, int k) {
    AnySae weights = AnySae.gaussian(dSae, kind.shape(dIn, dSae, true));
    Selection selection = kind.selection(k);
    assumeHas(weights.shape(), selection);
    float[] x = Data.gaussian(rows, rows * dIn);
    double[][] z = new double[rows][dSae];
    double[][] tolerance = new double[rows][dSae];
    for (int row = 0; row < rows; row++) {
      for (int j = 0; j < dSae; j++) {
        z[row][j] = weights.product(x, row, j) + weights.tensor(Tensor.B_ENC)[j];
        tolerance[row][j] = weights.tolerance(x, row, j);
      }
    }
    try (BackendSae sae = weights.on(backend())) {
      Rows got = AnySae.encode(backend(), sae, selection, x, rows);
      float least = Float.MAX_VALUE;
      for (float value : got.values()) {
        least = Math.min(least, Math.abs(value));
      }
      if (kind == Kind.BATCH_TOP_K) {
        assertEquals(k * rows, got.values().length);
      }
      for (int row = 0; row < rows; row++) {
        assertOrdered(got, row, selection.rule().isRagged());
        float[] kept = got.dense(row, dSae);
        switch (kind) {
          case ABS_TOP_K ->
              assertLargest(z[row], kept, tolerance[row], Math.abs(got.values()[row * k + k - 1]));
          case BATCH_TOP_K -> assertLargest(relu(z[row]), kept, tolerance[row], least);
          case GROUP_MAX -> assertGroups(z[row], kept, tolerance[row], dSae / k);
          case GATED -> assertGated(weights, z[row], kept, tolerance[row]);
          default -> assertThresholds(weights, z[row], kept, tolerance[row]);
        }
      }
    }
  }

  private static double[] relu(double[] z) {
    double[] p = z.clone();
    for (int j = 0; j < p.length; j++) {
      p[j] = Math.max(0, p[j]);
    }
    return p;
  }

  private static void assertOrdered(Rows rows, int row, boolean ragged) {
    for (int at = rows.starts()[row]; at < rows.starts()[row + 1]; at++) {
      assertTrue(!ragged || rows.values()[at] > 0, "a value of 0");
      if (at > rows.starts()[row]) {
        boolean byIndex = rows.indices()[at - 1] < rows.indices()[at];
        float before = Math.abs(rows.values()[at - 1]);
        float here = Math.abs(rows.values()[at]);
        assertTrue(ragged ? byIndex : before > here || (before == here && byIndex), "order");
      }
    }
  }

  /** Those kept have their value; of the others none is larger than {@code least}. */
  private static void assertLargest(double[] z, float[] kept, double[] tolerance, float least) {
    for (int j = 0; j < z.length; j++) {
      if (kept[j] != 0) {
        assertEquals(z[j], kept[j], tolerance[j], "latent " + j);
      } else {
        assertTrue(Math.abs(z[j]) <= least + tolerance[j], "latent " + j + " was left out");
      }
    }
  }

  private static void assertGroups(double[] z, float[] kept, double[] tolerance, int size) {
    for (int start = 0; start < z.length; start += size) {
      double largest = 0;
      double most = 0; // tolerance
      int count = 0;
      for (int j = start; j < start + size; j++) {
        largest = Math.max(largest, z[j]);
        most = Math.max(most, tolerance[j]);
        count += kept[j] > 0 ? 1 : 0;
      }
      assertTrue(count <= 1 && (count == 1 || largest <= most), "group at " + start);
      for (int j = start; j < start + size; j++) {
        if (kept[j] > 0) {
          assertEquals(z[j], kept[j], tolerance[j], "latent " + j);
          assertEquals(largest, kept[j], most, "the largest of its group");
        }
      }
    }
  }

  private static void assertThresholds(
      AnySae weights, double[] z, float[] kept, double[] tolerance) {
    for (int j = 0; j < z.length; j++) {
      boolean has = weights.shape().has(Tensor.THRESHOLD);
      double threshold = has ? Math.max(0, weights.tensor(Tensor.THRESHOLD)[j]) : 0;
      if (kept[j] > 0) {
        assertEquals(z[j], kept[j], tolerance[j], "latent " + j);
        assertTrue(kept[j] > threshold, "latent " + j);
      } else {
        assertTrue(z[j] <= threshold + tolerance[j], "latent " + j + " was left out");
      }
    }
  }

  /** The gain, its exponential and the sum add a few roundings of the magnitude's terms. */
  private static void assertGated(AnySae weights, double[] z, float[] kept, double[] tolerance) {
    for (int j = 0; j < z.length; j++) {
      double gain = Math.exp(weights.tensor(Tensor.R_MAG)[j]);
      double product = (z[j] - weights.tensor(Tensor.B_ENC)[j]) * gain;
      double magnitude = product + weights.tensor(Tensor.B_MAG)[j];
      double rounding = 4 * Data.EPS * (Math.abs(product) + Math.abs(magnitude));
      double allowed = tolerance[j] * gain + rounding;
      if (kept[j] > 0) {
        assertEquals(magnitude, kept[j], allowed, "latent " + j);
        assertTrue(z[j] > -tolerance[j], "the gate of latent " + j);
      } else {
        assertTrue(z[j] <= tolerance[j] || magnitude <= allowed, "latent " + j + " was left out");
      }
    }
  }
}
