package io.faithfulsae.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.conformance.AnySae.Kind;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.LatentBuffers;
import io.faithfulsae.spi.SaeShape;
import java.util.Random;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Decoding ragged rows, into another width, with a skip connection. */
interface RaggedDecodeCases extends ConformanceCases {

  @ParameterizedTest(name = "rows {0}, dIn {1}, dOut {2}, dSae {3}, at most {4} a row, skip {5}")
  @CsvSource({
    "1, 1, 1, 1, 1, true",
    "3, 5, 9, 7, 7, true",
    "17, 64, 64, 257, 40, false",
    "70, 33, 130, 1031, 9, true",
    "131, 130, 33, 1031, 100, true",
    "65, 30, 300, 500, 500, false"
  })
  default void raggedRowsDecodeWithinRounding(
      int rows, int dIn, int dOut, int dSae, int most, boolean skip) {
    SaeShape shape = shape(dIn, dOut, dSae, skip);
    assumeHas(shape, Kind.RELU.selection(0));
    AnySae weights = AnySae.gaussian(dSae, shape);
    Random random = new Random(rows);
    int[] starts = new int[rows + 1];
    for (int row = 0; row < rows; row++) {
      starts[row + 1] = starts[row] + (row % 3 == 1 ? 0 : random.nextInt(most + 1));
    }
    int entries = starts[rows];
    int[] indices = random.ints(Math.max(1, entries), 0, dSae).toArray();
    float[] values = Data.gaussian(most, Math.max(1, entries));
    float[] x = Data.gaussian(rows + 5L, rows * dIn);
    float[] got = decode(backend(), weights, starts, indices, values, x);
    try (ReferenceBackend reference = new ReferenceBackend()) {
      float[] expected = decode(reference, weights, starts, indices, values, x);
      for (int row = 0; row < rows; row++) {
        for (int i = 0; i < dOut; i++) {
          double magnitude = Math.abs(weights.tensor(Tensor.B_DEC)[i]);
          for (int at = starts[row]; at < starts[row + 1]; at++) {
            magnitude +=
                Math.abs(values[at] * weights.tensor(Tensor.W_DEC)[indices[at] * dOut + i]);
          }
          int terms = starts[row + 1] - starts[row] + 1;
          for (int j = 0; skip && j < dIn; j++, terms++) {
            magnitude += Math.abs(x[row * dIn + j] * weights.tensor(Tensor.W_SKIP)[i * dIn + j]);
          }
          // A float32 sum of n terms in any order: at most n roundings; one more joins the parts.
          assertEquals(
              expected[row * dOut + i], got[row * dOut + i], (terms + 1) * Data.EPS * magnitude);
        }
      }
    }
  }

  private static SaeShape shape(int dIn, int dOut, int dSae, boolean skip) {
    return new SaeShape(dIn, dOut, dSae, false, skip ? Set.of(Tensor.W_SKIP) : Set.of());
  }

  private static float[] decode(
      Backend backend, AnySae weights, int[] starts, int[] indices, float[] values, float[] x) {
    int rows = starts.length - 1;
    int elements = rows * weights.shape().dOut();
    try (BackendSae sae = weights.on(backend);
        DeviceBuffer offsets = Data.upload(backend, starts);
        DeviceBuffer index = Data.upload(backend, indices);
        DeviceBuffer value = Data.upload(backend, values);
        DeviceBuffer input = Data.upload(backend, x);
        DeviceBuffer out = backend.allocate(4L * elements)) {
      LatentBuffers latents = LatentBuffers.ragged(offsets, index, value);
      sae.decode(latents, rows, weights.shape().has(Tensor.W_SKIP) ? input : null, out);
      return Data.download(backend, out, elements);
    }
  }

  @Test
  default void aSkipTranscoderByHand() {
    SaeShape shape = shape(2, 3, 2, true);
    assumeHas(shape, Kind.RELU.selection(0));
    AnySae weights = AnySae.integers(1, shape);
    System.arraycopy(new float[] {1, 2, 3, 4, 5, 6}, 0, weights.tensor(Tensor.W_DEC), 0, 6);
    System.arraycopy(new float[] {1, 0, 0, 1, 1, 1}, 0, weights.tensor(Tensor.W_SKIP), 0, 6);
    System.arraycopy(new float[] {10, 20, 30}, 0, weights.tensor(Tensor.B_DEC), 0, 3);
    // Row 0: latent 1 twice; row 1: nothing. W_skip (7, 8) = (7, 8, 15)
    float[] out =
        decode(
            backend(),
            weights,
            new int[] {0, 1, 1},
            new int[] {1},
            new float[] {2},
            new float[] {7, 8, 0, 1});
    assertArrayEquals(new float[] {25, 38, 57, 10, 21, 31}, out);
    try (BackendSae sae = weights.on(backend());
        DeviceBuffer index = Data.upload(backend(), 1, 0);
        DeviceBuffer value = Data.upload(backend(), 2f, 0f);
        DeviceBuffer x = Data.upload(backend(), 7f, 8f);
        DeviceBuffer ofK = backend().allocate(3 * 4)) {
      sae.decode(LatentBuffers.ofK(index, value, 2), 1, x, ofK);
      assertArrayEquals(new float[] {25, 38, 57}, Data.download(backend(), ofK, 3));
    }
  }

  @Test
  default void offsetsThatDoNotAscendAreRejected() {
    assumeHas(shape(4, 3, 6, false), Kind.RELU.selection(0));
    AnySae weights = AnySae.integers(1, shape(4, 3, 6, false));
    int[] indices = {0, 5, 3};
    float[] values = {1, 1, 1};
    float[] x = new float[8];
    decode(backend(), weights, new int[] {0, 1, 3}, indices, values, x);
    for (int[] starts :
        new int[][] {{0, 2, 1}, {0, 1, 4}, {-1, 1, 2}, {0, 1, Integer.MIN_VALUE}, {5, 5, 5}}) {
      refused("offsets that ascend within [0, 3]", weights, starts, indices, values, x);
    }
    refused(
        "indices in [0, d_sae = 6)", weights, new int[] {0, 1, 3}, new int[] {0, 5, 6}, values, x);
    refused("-1 in row 0", weights, new int[] {0, 1, 3}, new int[] {-1, 5, 6}, values, x);
  }

  private void refused(
      String text, AnySae weights, int[] starts, int[] indices, float[] values, float[] x) {
    String said =
        String.valueOf(
            assertThrows(
                    IllegalArgumentException.class,
                    () -> decode(backend(), weights, starts, indices, values, x))
                .getMessage());
    assertTrue(said.startsWith("expected ") && said.contains(text), said);
  }

  @Test
  default void theInputIsGivenExactlyWhereThereIsASkipConnection() {
    assumeHas(shape(4, 3, 6, true), Kind.RELU.selection(0));
    try (BackendSae with = backend().createSae(shape(4, 3, 6, true));
        BackendSae without = backend().createSae(shape(4, 3, 6, false));
        DeviceBuffer x = backend().allocate(2 * 4 * 4);
        DeviceBuffer offsets = backend().allocate(4 * 4);
        DeviceBuffer indices = backend().allocate(4);
        DeviceBuffer values = backend().allocate(4);
        DeviceBuffer out = backend().allocate(2 * 4 * 4);
        DeviceBuffer larger = backend().allocate(4 * 3 * 4)) {
      LatentBuffers z = LatentBuffers.ragged(offsets, indices, values);
      with.decode(z, 2, x, out);
      without.decode(z, 2, null, out);
      refused("the rows that were encoded", with, z, 2, null, out);
      refused("no input rows", without, z, 2, x, out);
      refused("x to hold [3, 4]", with, z, 3, x, larger);
      refused("out in a buffer of its own", with, z, 2, x, x);
      refused("out in a buffer of its own", without, z, 1, null, offsets);
      refused("offsets to hold [5, 1]", without, z, 4, null, larger);
    }
  }

  private static void refused(
      String text,
      BackendSae sae,
      LatentBuffers z,
      int rows,
      @Nullable DeviceBuffer x,
      DeviceBuffer out) {
    String said =
        String.valueOf(
            assertThrows(IllegalArgumentException.class, () -> sae.decode(z, rows, x, out))
                .getMessage());
    assertTrue(said.matches("expected .*, got .*; .+") && said.contains(text), said);
  }
}
