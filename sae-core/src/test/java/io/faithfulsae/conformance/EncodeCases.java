package io.faithfulsae.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.conformance.Data.Encoded;
import io.faithfulsae.conformance.Data.Weights;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.DeviceBuffer;
import java.util.Arrays;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Encode: values, order, ties, and rows that cannot be encoded. */
interface EncodeCases extends ConformanceCases {

  /**
   * Exact arithmetic, so indices, order and every bit must match; with k = 1, k = dSae, prime sizes
   * and many tiles.
   */
  @ParameterizedTest(name = "rows {0}, dIn {1}, dSae {2}, k {3}")
  @CsvSource({
    "1, 1, 1, 1",
    "1, 3, 2, 2",
    "2, 16, 16, 16",
    "3, 5, 7, 7",
    "7, 13, 31, 1",
    "17, 64, 257, 8",
    "64, 32, 512, 32",
    "131, 97, 1031, 32",
    "33, 29, 700, 700",
    "5, 31, 4099, 300",
    "65, 48, 8192, 16"
  })
  default void integersEncodeExactly(int rows, int dIn, int dSae, int k) {
    for (boolean subtract : new boolean[] {true, false}) {
      Weights weights = Weights.integers(dSae, dIn, dSae, subtract);
      float[] x = Data.integers(rows, rows * dIn);
      Encoded expected = reference(weights, x, rows, k);
      try (BackendSae sae = weights.on(backend())) {
        Encoded got = Data.encode(backend(), sae, x, rows, k);
        assertArrayEquals(expected.values(), got.values());
        assertArrayEquals(expected.indices(), got.indices());
      }
    }
  }

  /**
   * A backend may preselect latents in a narrower format if the final choice is exact: values that
   * differ only in the last bit, from the smallest float32 to the largest, each a single exact
   * product.
   */
  @ParameterizedTest(name = "k {0}, rows of length 2^{1} to 2^{2}")
  @CsvSource({"1, -140, 127", "16, -140, 127", "16, -20, 20", "100, -20, 20"})
  default void theLastBitDecides(int k, int low, int high) {
    int rows = 72;
    int dIn = 64;
    int dSae = 2048;
    Weights weights = Weights.integers(1, dIn, dSae, true);
    Arrays.fill(weights.bEnc(), 0);
    Arrays.fill(weights.bDec(), 0);
    for (int j = 0; j < dSae; j++) {
      for (int i = 0; i < dIn; i++) {
        int rank = (j * 1237 + i * 31) % dSae; // another order of the latents for each i
        weights.wEnc()[j * dIn + i] = (rank % 3 == 0 ? -1 : 1) * (1 + rank * 0x1p-23f);
      }
    }
    float[] x = new float[rows * dIn];
    for (int row = 0; row < rows; row++) {
      x[row * dIn + row * 7 % dIn] = Math.scalb(1f, low + row * 13 % (high - low + 1));
    }
    Encoded expected = reference(weights, x, rows, k);
    try (BackendSae sae = weights.on(backend())) {
      for (int time = 0; time < 2; time++) { // the first call may cache what the second uses
        Encoded got = Data.encode(backend(), sae, x, rows, k);
        assertArrayEquals(expected.values(), got.values());
        assertArrayEquals(expected.indices(), got.indices());
      }
    }
  }

  @ParameterizedTest(name = "rows {0}, dIn {1}, dSae {2}, k {3}")
  @CsvSource({
    "1, 2, 3, 2",
    "9, 17, 33, 33",
    "31, 100, 1009, 24",
    "129, 257, 2053, 64",
    "70, 768, 3000, 16"
  })
  default void realsEncodeWithinRounding(int rows, int dIn, int dSae, int k) {
    Weights weights = Weights.gaussian(dSae, dIn, dSae, true);
    float[] x = Data.gaussian(rows, rows * dIn);
    Encoded all = reference(weights, x, rows, dSae);
    try (BackendSae sae = weights.on(backend())) {
      Encoded got = Data.encode(backend(), sae, x, rows, k);
      for (int row = 0; row < rows; row++) {
        float[] p = new float[dSae]; // the reference's pre-activations after ReLU
        for (int slot = row * dSae; slot < (row + 1) * dSae; slot++) {
          p[all.indices()[slot]] = all.values()[slot];
        }
        int[] indices = Arrays.copyOfRange(got.indices(), row * k, (row + 1) * k);
        float[] values = Arrays.copyOfRange(got.values(), row * k, (row + 1) * k);
        assertOrdered(indices, values, dSae);
        boolean[] taken = new boolean[dSae];
        for (int slot = 0; slot < k; slot++) {
          taken[indices[slot]] = true;
          assertEquals(
              p[indices[slot]],
              values[slot],
              tolerance(weights, x, row, indices[slot]),
              "row " + row);
        }
        for (int j = 0; j < dSae; j++) {
          assertTrue(
              taken[j] || p[j] <= values[k - 1] + tolerance(weights, x, row, j),
              "row " + row + " left out " + j);
        }
      }
    }
  }

  /**
   * In any order, fused or not, the error of a float32 dot product of n terms is at most n·eps
   * times the sum of the terms' magnitudes. Two more terms account for the bias and the rounding of
   * x − b_dec; b_dec may be folded into the bias beforehand.
   */
  private static double tolerance(Weights w, float[] x, int row, int latent) {
    double magnitude = Math.abs(w.bEnc()[latent]);
    for (int i = 0; i < w.dIn(); i++) {
      magnitude +=
          (Math.abs(x[row * w.dIn() + i]) + Math.abs(w.bDec()[i]))
              * Math.abs(w.wEnc()[latent * w.dIn() + i]);
    }
    return (w.dIn() + 2) * Data.EPS * magnitude;
  }

  private static void assertOrdered(int[] indices, float[] values, int dSae) {
    boolean[] seen = new boolean[dSae];
    for (int slot = 0; slot < indices.length; slot++) {
      assertTrue(
          indices[slot] >= 0 && indices[slot] < dSae && !seen[indices[slot]],
          "index " + indices[slot]);
      seen[indices[slot]] = true;
      assertTrue(values[slot] >= 0);
      if (slot > 0) {
        assertTrue(
            values[slot - 1] > values[slot]
                || (values[slot - 1] == values[slot] && indices[slot - 1] < indices[slot]),
            "value descending, then lower index");
      }
    }
  }

  private static Encoded reference(Weights weights, float[] x, int rows, int k) {
    try (ReferenceBackend reference = new ReferenceBackend()) {
      return Data.encode(reference, weights.on(reference), x, rows, k);
    }
  }

  @Test
  default void tiesGoToTheLowerIndex() {
    // Five equal latents among 300: pre-activation 2 at 299, 7, 131, 64, 8; 1 elsewhere.
    int dSae = 300;
    float[] wEnc = new float[dSae];
    Arrays.fill(wEnc, 1);
    for (int j : new int[] {299, 7, 131, 64, 8}) {
      wEnc[j] = 2;
    }
    try (BackendSae sae = oneInput(wEnc)) {
      Encoded z = Data.encode(backend(), sae, new float[] {1}, 1, 7);
      assertArrayEquals(new int[] {7, 8, 64, 131, 299, 0, 1}, z.indices());
      assertArrayEquals(new float[] {2, 2, 2, 2, 2, 1, 1}, z.values());
      assertArrayEquals(
          new int[] {7, 8, 64}, Data.encode(backend(), sae, new float[] {1}, 1, 3).indices());
    }
  }

  @Test
  default void rowsWithTooFewPositivesAreFilledWithZerosAtTheLowestFreeIndices() {
    try (BackendSae sae = oneInput(-1, 3, -0.0f, 0, -5, 1)) {
      Encoded z = Data.encode(backend(), sae, new float[] {1, -1, 0, -0.0f}, 4, 4);
      assertArrayEquals(new int[] {1, 5, 0, 2, 4, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3}, z.indices());
      // assertArrayEquals on floats distinguishes -0.0 from 0.0: padding must be +0.
      assertArrayEquals(new float[] {3, 1, 0, 0, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, z.values());
    }
  }

  /** An SAE with dIn = 1 and these encoder weights. */
  private BackendSae oneInput(float... wEnc) {
    BackendSae sae = backend().createSae(1, wEnc.length, true);
    sae.write(BackendSae.Tensor.W_ENC, 0, Data.direct(wEnc));
    return sae;
  }

  @Test
  default void rowsThatAreNotFiniteAreNamed() {
    int rows = 40;
    int dIn = 19;
    Weights weights = Weights.gaussian(1, dIn, 50, true);
    for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
      for (int row : new int[] {0, 13, 39}) {
        float[] x = Data.gaussian(2, rows * dIn);
        x[row * dIn + row % dIn] = bad;
        x[rows * dIn - 1] = bad; // the first such row is named
        try (BackendSae sae = weights.on(backend())) {
          IllegalArgumentException e =
              assertThrows(
                  IllegalArgumentException.class, () -> Data.encode(backend(), sae, x, rows, 4));
          assertTrue(
              Pattern.compile("\\brow " + row + "\\b")
                  .matcher(String.valueOf(e.getMessage()))
                  .find(),
              e.getMessage());
          assertEquals(
              4,
              Data.encode(backend(), sae, Data.gaussian(3, dIn), 1, 4).indices().length,
              "still works");
        }
      }
    }
  }

  @Test
  default void largeFiniteValuesAreEncoded() {
    try (BackendSae sae = oneInput(1, -1, 0.5f)) {
      Encoded z =
          Data.encode(backend(), sae, new float[] {Float.MAX_VALUE, Float.MIN_NORMAL}, 2, 2);
      assertArrayEquals(new int[] {0, 2, 0, 2}, z.indices());
      assertEquals(Float.MAX_VALUE, z.values()[0]);
      assertEquals(Float.MIN_NORMAL, z.values()[2]);
    }
  }

  @Test
  default void shapesThatDoNotFitAreRejected() {
    try (BackendSae sae = backend().createSae(4, 6, true);
        DeviceBuffer x = backend().allocate(2 * 4 * 4);
        DeviceBuffer indices = backend().allocate(2 * 3 * 4);
        DeviceBuffer values = backend().allocate(2 * 3 * 4)) {
      sae.encodeTopK(x, 2, 3, indices, values);
      IllegalArgumentException tooFewRows =
          assertThrows(
              IllegalArgumentException.class, () -> sae.encodeTopK(x, 3, 1, indices, values));
      assertTrue(
          String.valueOf(tooFewRows.getMessage()).contains("[3, 4]"), tooFewRows.getMessage());
      assertThrows(IllegalArgumentException.class, () -> sae.encodeTopK(x, 0, 3, indices, values));
      assertThrows(IllegalArgumentException.class, () -> sae.encodeTopK(x, 2, 0, indices, values));
      assertThrows(IllegalArgumentException.class, () -> sae.encodeTopK(x, 2, 4, indices, values));
      IllegalArgumentException k =
          assertThrows(
              IllegalArgumentException.class, () -> sae.encodeTopK(x, 1, 7, indices, values));
      assertTrue(String.valueOf(k.getMessage()).contains("d_sae = 6"), k.getMessage());
      backend().synchronize();
    }
  }

  @Test
  default void anotherThreadMayUseTheSameBackend() throws InterruptedException {
    int rows = 64;
    Weights weights = Weights.integers(5, 32, 512, true);
    float[] x = Data.integers(6, rows * 32);
    Encoded expected = reference(weights, x, rows, 8);
    try (BackendSae sae = weights.on(backend())) {
      Encoded[] got = new Encoded[4];
      Thread[] threads = new Thread[got.length];
      for (int t = 0; t < threads.length; t++) {
        int slot = t;
        threads[t] = new Thread(() -> got[slot] = Data.encode(backend(), sae, x, rows, 8));
        threads[t].start();
      }
      for (Thread thread : threads) {
        thread.join();
      }
      for (Encoded z : got) {
        assertArrayEquals(expected.indices(), z.indices());
        assertArrayEquals(expected.values(), z.values());
      }
    }
  }
}
