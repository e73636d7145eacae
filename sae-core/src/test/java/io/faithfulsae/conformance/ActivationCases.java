package io.faithfulsae.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.conformance.AnySae.Kind;
import io.faithfulsae.conformance.AnySae.Rows;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.LatentBuffers;
import io.faithfulsae.spi.SaeShape;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.Selection.Rule;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Encoding with every activation but TopK, where arithmetic is exact: one right answer. */
public interface ActivationCases extends ConformanceCases {

  /** Every activation at sizes of one, odd, tied, and of more than a tile in both directions. */
  static Stream<Arguments> integerShapes() {
    List<int[]> shapes =
        List.of(
            new int[] {1, 1, 1, 1},
            new int[] {3, 5, 7, 7},
            new int[] {7, 13, 31, 1},
            new int[] {17, 64, 256, 8},
            new int[] {33, 29, 700, 700},
            new int[] {40, 33, 4160, 130},
            new int[] {530, 34, 800, 16});
    return Stream.of(Kind.values())
        .flatMap(
            kind ->
                shapes.stream()
                    .map(s -> Arguments.of(kind, s[0], s[1], s[2], s[3], (s[0] + s[3]) % 2 == 0)));
  }

  @ParameterizedTest(name = "{0}, rows {1}, dIn {2}, dSae {3}, k {4}, b_dec subtracted {5}")
  @MethodSource("integerShapes")
  default void integersChooseExactly(
      Kind kind, int rows, int dIn, int dSae, int k, boolean subtract) {
    AnySae weights = AnySae.integers(dSae, kind.shape(dIn, dSae, subtract));
    assertSameAsReference(weights, kind.selection(k), Data.integers(rows, rows * dIn), rows);
  }

  private void assertSameAsReference(AnySae weights, Selection selection, float[] x, int rows) {
    assumeHas(weights.shape(), selection);
    Rows expected;
    try (ReferenceBackend reference = new ReferenceBackend()) {
      expected = AnySae.encode(reference, weights.on(reference), selection, x, rows);
    }
    try (BackendSae sae = weights.on(backend())) {
      for (int time = 0; time < 2; time++) { // the first call may cache what the second uses
        Rows got = AnySae.encode(backend(), sae, selection, x, rows);
        assertArrayEquals(expected.starts(), got.starts());
        assertArrayEquals(expected.indices(), got.indices());
        assertArrayEquals(expected.values(), got.values());
      }
    }
  }

  /**
   * Thresholds that a value meets, exceeds or misses by its last bit: what is kept must be decided
   * in float32, also by a backend that first looks at bfloat16. Most latents are far from theirs.
   */
  @ParameterizedTest
  @EnumSource(names = {"JUMP_RELU", "GATED"})
  default void theLastBitDecidesWhatFires(Kind kind) {
    int rows = 130;
    int dIn = 64;
    int dSae = 2500;
    AnySae weights = AnySae.integers(1, kind.shape(dIn, dSae, false));
    float[] wEnc = weights.tensor(Tensor.W_ENC);
    float[] limit = new float[dSae]; // what z_pre - b_enc must exceed
    for (int j = 0; j < dSae; j++) {
      limit[j] = 1 + 31 * 0x1p-23f;
      for (int i = 0; i < dIn; i++) {
        boolean near = (j + i) % 37 == 0;
        wEnc[j * dIn + i] = near ? 1 + (j * 17 + i) % 64 * 0x1p-23f : 0.25f * (j % 3 - 1);
      }
    }
    if (kind == Kind.JUMP_RELU) {
      Arrays.fill(weights.tensor(Tensor.B_ENC), 0);
      System.arraycopy(limit, 0, weights.tensor(Tensor.THRESHOLD), 0, dSae);
    } else {
      for (int j = 0; j < dSae; j++) {
        weights.tensor(Tensor.B_ENC)[j] = -limit[j];
      }
    }
    float[] x = new float[rows * dIn];
    for (int row = 0; row < rows; row++) {
      x[row * dIn + row * 7 % dIn] = 1;
    }
    assertSameAsReference(weights, kind.selection(0), x, rows);
  }

  /** An SAE with dIn = 1 and these encoder weights. */
  private BackendSae oneInput(Kind kind, float... wEnc) {
    SaeShape shape = kind.shape(1, wEnc.length, false);
    assumeHas(shape, kind.selection(1));
    BackendSae sae = backend().createSae(shape);
    sae.write(Tensor.W_ENC, 0, Data.direct(wEnc));
    return sae;
  }

  private static void assertRows(Rows rows, int[] starts, int[] indices, float[] values) {
    assertArrayEquals(starts, rows.starts());
    assertArrayEquals(indices, rows.indices());
    assertArrayEquals(values, rows.values());
  }

  @Test
  default void thresholdsByHand() {
    try (BackendSae sae = oneInput(Kind.JUMP_RELU, 1, 2, 3, 4, -1, 2, 5, 5)) {
      float[] thresholds = {1, 1.5f, -7, 0, -7, 3, Float.POSITIVE_INFINITY, Float.NaN};
      sae.write(Tensor.THRESHOLD, 0, Data.direct(thresholds));
      // A value equal to its threshold does not fire, nor one at or below 0 whatever its threshold.
      Rows rows =
          AnySae.encode(
              backend(), sae, Kind.JUMP_RELU.selection(0), new float[] {1, 0, -1, 2, -0.0f}, 5);
      assertRows(
          rows,
          new int[] {0, 3, 3, 4, 9, 9},
          new int[] {1, 2, 3, 4, 0, 1, 2, 3, 5},
          new float[] {2, 3, 4, 1, 2, 4, 6, 8, 4});
    }
  }

  @Test
  default void gatedByHand() {
    try (BackendSae sae = oneInput(Kind.GATED, 1, 1, 2, -1, 1)) {
      sae.write(Tensor.B_ENC, 0, Data.direct(-1, 0, -1, 0.5f, 5)); // of the gate
      sae.write(Tensor.B_MAG, 0, Data.direct(9, -2, 1, 3, -0.5f));
      // x = 1: gates 0 (closed), 1, 1, -0.5 (closed), 6; magnitudes 10, -1 (not above 0), 3, 2, 0.5
      assertRows(
          AnySae.encode(backend(), sae, Kind.GATED.selection(0), new float[] {1}, 1),
          new int[] {0, 2},
          new int[] {2, 4},
          new float[] {3, 0.5f});
    }
  }

  @Test
  default void noneOrAllMayFire() {
    int dSae = 1700;
    int rows = 45;
    float[] ones = new float[dSae];
    Arrays.fill(ones, 1);
    float[] x = new float[rows];
    Arrays.fill(x, 0, rows - 1, -1); // the last row is 0
    for (Kind kind : new Kind[] {Kind.RELU, Kind.BATCH_TOP_K}) {
      try (BackendSae sae = oneInput(kind, ones)) {
        assertRows(
            AnySae.encode(backend(), sae, kind.selection(dSae), x, rows),
            new int[rows + 1],
            new int[0],
            new float[0]);
        float[] positive = new float[rows];
        Arrays.fill(positive, 2);
        Rows all = AnySae.encode(backend(), sae, kind.selection(dSae), positive, rows);
        for (int at = 0; at < rows * dSae; at++) {
          assertEquals(at % dSae, all.indices()[at]);
          assertEquals(2, all.values()[at]);
        }
        assertEquals(dSae, all.starts()[1]);
      }
    }
  }

  @Test
  default void ofEqualValuesABatchKeepsTheFirst() {
    int dSae = 1100;
    int rows = 700;
    float[] ones = new float[dSae];
    Arrays.fill(ones, 1);
    float[] x = new float[rows];
    Arrays.fill(x, 1);
    x[rows - 1] = 2; // all of this row, then from the first row on
    try (BackendSae sae = oneInput(Kind.BATCH_TOP_K, ones)) {
      Rows got = AnySae.encode(backend(), sae, Kind.BATCH_TOP_K.selection(5), x, rows);
      int[] starts = new int[rows + 1];
      for (int row = 1; row <= rows; row++) {
        starts[row] = row == rows ? 5 * rows : Math.min(row * dSae, 5 * rows - dSae);
      }
      assertArrayEquals(starts, got.starts());
      for (int at = 0; at < 5 * rows; at++) {
        int first = at < 5 * rows - dSae ? at / dSae * dSae : 5 * rows - dSae;
        assertEquals(at - first, got.indices()[at]);
      }
    }
  }

  @Test
  default void absoluteValuesKeepTheirSigns() {
    try (BackendSae sae = oneInput(Kind.ABS_TOP_K, -1, 3, -0.0f, -3, 0, 3, -5)) {
      Rows rows =
          AnySae.encode(backend(), sae, Kind.ABS_TOP_K.selection(6), new float[] {1, -2, 0}, 3);
      assertRows(
          rows,
          new int[] {0, 6, 12, 18},
          new int[] {6, 1, 3, 5, 0, 2, 6, 1, 3, 5, 0, 2, 0, 1, 2, 3, 4, 5},
          new float[] {-5, 3, -3, 3, -1, 0, 10, -6, 6, -6, 2, 0, 0, 0, 0, 0, 0, 0});
      assertArrayEquals(
          new int[] {6, 1, 3},
          AnySae.encode(backend(), sae, Kind.ABS_TOP_K.selection(3), new float[] {1}, 1).indices());
    }
  }

  @Test
  default void groupsGiveTheirLargest() {
    try (BackendSae sae = oneInput(Kind.GROUP_MAX, 1, 2, 2, -1, -2, 0, 4, 3, 1)) {
      assertRows(
          AnySae.encode(backend(), sae, Kind.GROUP_MAX.selection(3), new float[] {1, -1}, 2),
          new int[] {0, 3, 6},
          new int[] {6, 1, 0, 4, 0, 1}, // a group without a value above 0: the lowest index free
          new float[] {4, 2, 0, 2, 0, 0});
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"BATCH_TOP_K", "RELU", "JUMP_RELU", "GATED"})
  default void tooLittleRoomSaysHowMuchIsNeeded(Kind kind) {
    int rows = 37;
    AnySae weights = AnySae.integers(9, kind.shape(21, 90, true));
    Selection selection = kind.selection(4);
    assumeHas(weights.shape(), selection);
    float[] data = Data.integers(3, rows * 21);
    try (BackendSae sae = weights.on(backend());
        DeviceBuffer x = Data.upload(backend(), data);
        DeviceBuffer offsets = backend().allocate(4L * (rows + 1))) {
      Rows expected = AnySae.encode(backend(), sae, selection, data, rows);
      int entries = expected.indices().length;
      assertTrue(entries > rows, "entries " + entries);
      for (int room : new int[] {1, entries - 1, entries, entries + 1}) {
        try (DeviceBuffer indices = backend().allocate(4L * room);
            DeviceBuffer values = backend().allocate(4L * room)) {
          LatentBuffers into = LatentBuffers.ragged(offsets, indices, values);
          assertEquals(entries, sae.encode(selection, x, rows, into));
          if (room >= entries) {
            Rows got = AnySae.download(backend(), into, rows, entries);
            assertRows(got, expected.starts(), expected.indices(), expected.values());
          }
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource
  default void rowsThatAreNotFiniteAreNamedWhateverTheActivation(Kind kind) {
    AnySae weights = AnySae.gaussian(1, kind.shape(19, 50, true));
    assumeHas(weights.shape(), kind.selection(5));
    float[] x = Data.gaussian(2, 40 * 19);
    x[13 * 19 + 4] = Float.NaN;
    x[39 * 19] = Float.NEGATIVE_INFINITY;
    try (BackendSae sae = weights.on(backend())) {
      IllegalArgumentException e =
          assertThrows(
              IllegalArgumentException.class,
              () -> AnySae.encode(backend(), sae, kind.selection(5), x, 40));
      assertTrue(
          Pattern.compile("\\brow 13\\b").matcher(String.valueOf(e.getMessage())).find(),
          e.getMessage());
    }
  }

  /** Selections and buffers that do not go together. */
  @Test
  default void selectionsThatDoNotFitAreRejected() {
    for (Kind kind : new Kind[] {Kind.RELU, Kind.GATED, Kind.GROUP_MAX}) {
      assumeHas(kind.shape(4, 6, true), kind.selection(2));
    }
    try (BackendSae sae = backend().createSae(Kind.JUMP_RELU.shape(4, 6, true));
        BackendSae gated = backend().createSae(Kind.GATED.shape(4, 6, true));
        DeviceBuffer x = backend().allocate(3 * 4 * 4);
        DeviceBuffer offsets = backend().allocate(4 * 4);
        DeviceBuffer indices = backend().allocate(6 * 4);
        DeviceBuffer values = backend().allocate(6 * 4)) {
      LatentBuffers ragged = LatentBuffers.ragged(offsets, indices, values);
      LatentBuffers pairs = LatentBuffers.ofK(indices, values, 2);
      Selection threshold = new Selection(Rule.THRESHOLD, 0);
      Selection batch = new Selection(Rule.BATCH_TOP_K, 2);
      refused("ragged rows, got rows of 2", sae, threshold, x, 3, pairs);
      refused("ragged rows, got rows of 2", sae, batch, x, 3, pairs);
      refused("rows of 2 latents, got ragged rows", sae, Selection.topK(2), x, 3, ragged);
      refused("rows of 1 latents, got rows of 2", sae, Selection.topK(1), x, 3, pairs);
      refused("k in [1, d_sae = 6]", sae, new Selection(Rule.BATCH_TOP_K, 7), x, 3, ragged);
      refused("k in [1, d_sae = 6]", sae, new Selection(Rule.BATCH_TOP_K, 0), x, 3, ragged);
      LatentBuffers fours = LatentBuffers.ofK(indices, values, 4);
      refused("divides d_sae = 6", sae, new Selection(Rule.GROUP_MAX, 4), x, 1, fours);
      refused("THRESHOLD for a gated SAE", gated, Selection.topK(2), x, 3, pairs);
      refused("THRESHOLD for a gated SAE", gated, batch, x, 3, ragged);
      refused("x to hold [4, 4]", sae, threshold, x, 4, ragged);
      LatentBuffers short1 = LatentBuffers.ragged(x, indices, values);
      refused("offsets in a buffer of its own", sae, threshold, x, 3, short1);
      LatentBuffers twice = LatentBuffers.ragged(offsets, indices, indices);
      refused("indices in a buffer of its own", sae, threshold, x, 3, twice);
      try (DeviceBuffer three = backend().allocate(3 * 4)) {
        LatentBuffers small = LatentBuffers.ragged(three, indices, values);
        refused("offsets to hold [4, 1]", sae, threshold, x, 3, small);
      }
      IllegalArgumentException e =
          assertThrows(
              IllegalArgumentException.class, () -> sae.write(Tensor.R_MAG, 0, Data.direct(1)));
      assertTrue(String.valueOf(e.getMessage()).contains("R_MAG"), e.getMessage());
    }
  }

  private static void refused(
      String text, BackendSae sae, Selection selection, DeviceBuffer x, int rows, LatentBuffers z) {
    String said =
        String.valueOf(
            assertThrows(IllegalArgumentException.class, () -> sae.encode(selection, x, rows, z))
                .getMessage());
    assertTrue(said.matches("expected .*, got .*; .+") && said.contains(text), said);
  }
}
