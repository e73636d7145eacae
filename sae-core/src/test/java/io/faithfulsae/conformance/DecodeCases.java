package io.faithfulsae.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.conformance.Data.Encoded;
import io.faithfulsae.conformance.Data.Weights;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.DeviceBuffer;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Decoding and matrix products. */
interface DecodeCases extends ConformanceCases {

  @ParameterizedTest(name = "rows {0}, dIn {1}, dSae {2}, k {3}")
  @CsvSource({
    "1, 1, 1, 1",
    "3, 5, 7, 7",
    "17, 64, 257, 8",
    "131, 97, 1031, 32",
    "65, 300, 4099, 100"
  })
  default void decodesWithinRounding(int rows, int dIn, int dSae, int k) {
    Weights weights = Weights.gaussian(dSae, dIn, dSae, true);
    Encoded z = new Encoded(randomIndices(rows * k, dSae), Data.gaussian(k, rows * k));
    float[] expected;
    try (ReferenceBackend reference = new ReferenceBackend()) {
      expected = Data.decode(reference, weights.on(reference), z, rows, k);
    }
    try (BackendSae sae = weights.on(backend())) {
      float[] got = Data.decode(backend(), sae, z, rows, k);
      for (int at = 0; at < got.length; at++) {
        double magnitude = Math.abs(weights.bDec()[at % dIn]);
        for (int slot = at / dIn * k; slot < (at / dIn + 1) * k; slot++) {
          magnitude +=
              Math.abs(z.values()[slot] * weights.wDec()[z.indices()[slot] * dIn + at % dIn]);
        }
        // The error of a float32 sum of k products and a bias is at most k + 1 roundings.
        assertEquals(expected[at], got[at], (k + 1) * Data.EPS * magnitude);
      }
    }
  }

  /** Any index is valid, even twice in the same row. */
  private static int[] randomIndices(int n, int dSae) {
    Random random = new Random(n);
    return random.ints(n, 0, dSae).toArray();
  }

  @Test
  default void decodesByHand() {
    try (BackendSae sae = backend().createSae(2, 3, true)) {
      sae.write(BackendSae.Tensor.W_DEC, 0, Data.direct(1, 2, 3, 4, 5, 6));
      sae.write(BackendSae.Tensor.B_DEC, 0, Data.direct(10, 20));
      Encoded z = new Encoded(new int[] {2, 0, 1, 1}, new float[] {1, -1, 2, 0.5f});
      assertArrayEquals(new float[] {14, 24, 17.5f, 30}, Data.decode(backend(), sae, z, 2, 2));
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {-1, 6, Integer.MIN_VALUE, Integer.MAX_VALUE})
  default void indicesOutOfRangeAreRejected(int bad) {
    try (BackendSae sae = Weights.integers(1, 4, 6, true).on(backend())) {
      Encoded z = new Encoded(new int[] {0, 5, 3, bad}, new float[] {1, 1, 1, 1});
      IllegalArgumentException e =
          assertThrows(IllegalArgumentException.class, () -> Data.decode(backend(), sae, z, 2, 2));
      assertTrue(String.valueOf(e.getMessage()).contains(Integer.toString(bad)), e.getMessage());
      Encoded good = new Encoded(new int[] {0, 5}, new float[] {1, 1});
      assertEquals(4, Data.decode(backend(), sae, good, 1, 2).length, "still works");
    }
  }

  @Test
  default void decodeIntoTooSmallABufferIsRejected() {
    try (BackendSae sae = backend().createSae(4, 6, true);
        DeviceBuffer z = backend().allocate(2 * 3 * 4);
        DeviceBuffer out = backend().allocate(2 * 4 * 4 - 1)) {
      IllegalArgumentException e =
          assertThrows(IllegalArgumentException.class, () -> sae.decode(z, z, 2, 3, out));
      assertTrue(String.valueOf(e.getMessage()).contains("[2, 4]"), e.getMessage());
    }
  }

  @ParameterizedTest(name = "{0} of {1} rows of {2}, factor {3}")
  @CsvSource({"1, 1, 1, 1", "5, 3, 7, 1", "70, 200, 8, 0.3", "9, 4, 1030, 1", "33, 65, 130, -2.5"})
  default void gatheredRowsAreCopies(int count, int fromRows, int columns, double factor) {
    float[] values = Data.gaussian(count, fromRows * columns);
    int[] numbers = new Random(columns).ints(count + 2, 0, fromRows).toArray();
    int beyond = count / 2;
    numbers[2 + beyond] = count % 2 == 0 ? -1 : fromRows;
    try (DeviceBuffer from = Data.upload(backend(), values);
        DeviceBuffer rows = Data.upload(backend(), numbers);
        DeviceBuffer into = backend().allocate(4L * count * columns)) {
      backend().gatherRows(from, fromRows, columns, rows, 2, count, factor, into);
      float[] out = Data.download(backend(), into, count * columns);
      for (int i = 0; i < count; i++) {
        for (int j = 0; j < columns; j++) {
          float expected =
              i == beyond ? Float.NaN : (float) (values[numbers[2 + i] * columns + j] * factor);
          assertEquals(expected, out[i * columns + j]);
        }
      }
      assertThrows(
          IllegalArgumentException.class,
          () -> backend().gatherRows(from, fromRows + 1, columns, rows, 0, count, 1, into));
      assertThrows(
          IllegalArgumentException.class,
          () -> backend().gatherRows(from, fromRows, columns, rows, 3, count, 1, into));
      assertThrows(
          IllegalArgumentException.class,
          () -> backend().gatherRows(from, fromRows, columns, rows, -1, 1, 1, into));
      assertThrows(
          IllegalArgumentException.class,
          () -> backend().gatherRows(from, fromRows, columns, rows, 0, 1, 1, from));
    }
  }

  @ParameterizedTest(name = "m {0}, n {1}, inner {2}")
  @CsvSource({"1, 1, 1", "3, 5, 7", "64, 64, 64", "131, 67, 97", "1, 700, 33", "513, 2, 300"})
  default void matmulWithinRounding(int m, int n, int inner) {
    float[] a = Data.gaussian(m, m * inner);
    float[] b = Data.gaussian(n + 1000, n * inner);
    try (DeviceBuffer left = Data.upload(backend(), a);
        DeviceBuffer right = Data.upload(backend(), b);
        DeviceBuffer out = backend().allocate(4L * m * n)) {
      backend().matmulTransposed(left, m, right, n, inner, out);
      float[] c = Data.download(backend(), out, m * n);
      for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
          double sum = 0;
          double magnitude = 0;
          for (int t = 0; t < inner; t++) {
            double term = (double) a[i * inner + t] * b[j * inner + t];
            sum += term;
            magnitude += Math.abs(term);
          }
          // As for encode: the error of a float32 dot product is at most {@code inner} roundings.
          assertEquals(sum, c[i * n + j], inner * Data.EPS * magnitude);
        }
      }
      assertThrows(
          IllegalArgumentException.class,
          () -> backend().matmulTransposed(left, m + 1, right, n, inner, out));
      assertThrows(
          IllegalArgumentException.class,
          () -> backend().matmulTransposed(left, m, right, n, 0, out));
    }
  }
}
