package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.io.Safetensors;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CancellationException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AssignmentTest {
  @TempDir Path folder;

  @Test
  void findsTheSameOptimumAsSciPy() throws IOException {
    JsonNode cases =
        new ObjectMapper()
            .readTree(Goldens.copy("metrics.json", folder).toFile())
            .get("assignment");
    assertEquals(7, cases.size());
    try (Safetensors golden = Safetensors.open(Goldens.copy("metrics.safetensors", folder))) {
      for (Map.Entry<String, JsonNode> e : cases.properties()) {
        String name = "assignment." + e.getKey();
        float[] flat = Goldens.floats(golden, name);
        int columns = golden.entry(name).shape().get(1).intValue();
        float[][] scores = new float[flat.length / columns][];
        for (int i = 0; i < scores.length; i++) {
          scores[i] = Arrays.copyOfRange(flat, i * columns, (i + 1) * columns);
        }
        int[] found = Assignment.maximumSum(scores);
        assertDistinct(found);
        assertEquals(e.getValue().get("sum").doubleValue(), sum(scores, found), 1e-9, name);
        if (e.getValue().get("unique").booleanValue()) {
          int[] columnsOfSciPy =
              new ObjectMapper().convertValue(e.getValue().get("columns"), int[].class);
          assertArrayEquals(columnsOfSciPy, found, name);
        }
      }
    }
  }

  @Test
  void isNoWorseThanAnyOtherAssignment() {
    Random random = new Random(11);
    for (int trial = 0; trial < 3000; trial++) {
      int rows = 1 + random.nextInt(6);
      int columns = rows + random.nextInt(3);
      boolean ties = trial % 2 == 0;
      float[][] scores = new float[rows][columns];
      for (float[] row : scores) {
        for (int j = 0; j < columns; j++) {
          row[j] = ties ? random.nextInt(4) - 2 : (float) random.nextGaussian();
        }
      }
      int[] found = Assignment.maximumSum(scores);
      assertDistinct(found);
      assertEquals(best(scores, 0, 0), sum(scores, found), 1e-9, Arrays.deepToString(scores));
    }
  }

  @Test
  void recoversAPermutationUnderNoise() {
    Random random = new Random(12);
    for (int size : new int[] {2, 17, 128, 301}) {
      int[] permutation = random.ints(0, size).distinct().limit(size).toArray();
      float[][] scores = new float[size][size];
      for (int i = 0; i < size; i++) {
        for (int j = 0; j < size; j++) {
          scores[i][j] = random.nextFloat() * 0.4f + (permutation[i] == j ? 0.5f : 0);
        }
      }
      assertArrayEquals(permutation, Assignment.maximumSum(scores), "size " + size);
    }
  }

  @Test
  void terminatesOnEqualOrNearlyEqualScores() {
    float[][] equal = new float[50][50];
    assertDistinct(Assignment.maximumSum(equal));
    for (int i = 0; i < 50; i++) {
      for (int j = 0; j < 50; j++) {
        equal[i][j] = 1 + (i * j % 3) * 0x1p-23f;
      }
    }
    assertDistinct(Assignment.maximumSum(equal));
  }

  @Test
  void isOptimalByDualityWhenRowsAreReread() {
    Random random = new Random(13);
    for (int size : new int[] {60, 150, 400}) {
      float[][] hubs = new float[size][size + size % 4]; // all rows want the same columns
      float[][] ties = new float[size][size];
      float[][] random64 = new float[size][size];
      for (int i = 0; i < size; i++) {
        float weight = random.nextFloat();
        for (int j = 0; j < hubs[i].length; j++) {
          hubs[i][j] = weight * j / size + 0.01f * random.nextFloat();
        }
        for (int j = 0; j < size; j++) {
          ties[i][j] = random.nextInt(3);
          random64[i][j] = (float) random.nextGaussian();
        }
      }
      for (float[][] scores : new float[][][] {hubs, ties, random64}) {
        assertDistinct(Assignment.maximumSum(scores));
        assertEquals(0, Assignment.gap(scores), 1e-9);
      }
    }
  }

  @Test
  void reportsProgressAndStopsWhenTheListenerThrows() {
    float[][] scores = new float[300][300];
    Random random = new Random(14);
    for (float[] row : scores) {
      for (int j = 0; j < row.length; j++) {
        row[j] = random.nextFloat();
      }
    }
    List<Long> received = new ArrayList<>();
    Assignment.maximumSum(scores, received::add);
    assertEquals(300, received.get(received.size() - 1));
    assertEquals(received.stream().sorted().toList(), received);
    CancellationException stop = new CancellationException("enough");
    assertSame(
        stop,
        assertThrows(
            CancellationException.class,
            () ->
                Assignment.maximumSum(
                    scores,
                    assigned -> {
                      throw stop;
                    })));
  }

  @Test
  void rejectsMoreRowsThanColumnsAndNonFiniteScores() {
    assertRejected(new float[3][2], "at least as many columns as rows");
    assertRejected(new float[][] {{1, 2}, {3, Float.NaN}}, "NaN in row 1");
    assertEquals(0, Assignment.maximumSum(new float[0][]).length);
  }

  private static void assertRejected(float[][] scores, String part) {
    String message =
        assertThrows(IllegalArgumentException.class, () -> Assignment.maximumSum(scores))
            .getMessage();
    assertTrue(message.contains(part), message);
  }

  private static void assertDistinct(int[] columns) {
    assertEquals(columns.length, Arrays.stream(columns).distinct().count());
  }

  private static double sum(float[][] scores, int[] columns) {
    double sum = 0;
    for (int i = 0; i < columns.length; i++) {
      sum += scores[i][columns[i]];
    }
    return sum;
  }

  private static double best(float[][] scores, int row, int taken) {
    if (row == scores.length) {
      return 0;
    }
    double best = Double.NEGATIVE_INFINITY;
    for (int j = 0; j < scores[row].length; j++) {
      if ((taken >> j & 1) == 0) {
        best = Math.max(best, scores[row][j] + best(scores, row + 1, taken | 1 << j));
      }
    }
    return best;
  }
}
