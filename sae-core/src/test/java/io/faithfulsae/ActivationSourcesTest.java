package io.faithfulsae;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.io.Safetensors.Tensor;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.synthetic.Hierarchy;
import io.faithfulsae.synthetic.PerFeature;
import io.faithfulsae.synthetic.SyntheticFeatures;
import io.faithfulsae.synthetic.SyntheticFeatures.Magnitude;
import io.faithfulsae.synthetic.SyntheticFeatures.Superposition;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ActivationSourcesTest {
  private static final int D = 4;

  @TempDir Path folder;
  private final Backend backend = new ReferenceBackend();

  @AfterEach
  void close() {
    backend.close();
  }

  @Test
  void readsAnArray() throws IOException {
    float[] rows = count(7);
    ActivationSource source = ActivationSources.ofArray(rows, D);
    assertArrayEquals(rows, readAll(source, 3));
    assertResumesAnywhere(source, 3);
    assertThrows(IllegalArgumentException.class, () -> ActivationSources.ofArray(new float[7], D));
    assertThrows(IllegalArgumentException.class, () -> ActivationSources.ofArray(new float[0], D));
    float[] other = rows.clone();
    other[5] += 1;
    assertNotEquals(source.description(), ActivationSources.ofArray(other, D).description());
    assertEquals(source.description(), ActivationSources.ofArray(rows.clone(), D).description());
  }

  @Test
  void readsRowsThatMayChangeLater() throws IOException {
    float[] flat = count(3);
    float[][] rows = new float[3][];
    for (int i = 0; i < rows.length; i++) {
      rows[i] = Arrays.copyOfRange(flat, i * D, (i + 1) * D);
    }
    ActivationSource source = ActivationSources.ofRows(rows);
    assertEquals(D, source.dIn());
    assertEquals(ActivationSources.ofArray(flat, D).description(), source.description());
    assertEquals(source.description(), ActivationSources.ofRows(Arrays.asList(rows)).description());
    rows[1][2] = -1;
    assertArrayEquals(flat, readAll(source, 2));
    assertResumesAnywhere(source, 2);
  }

  @Test
  void rejectsRowsThatAreNoMatrix() {
    for (float[][] none : new float[][][] {{}, {{}}}) {
      assertTrue(
          assertThrows(IllegalArgumentException.class, () -> ActivationSources.ofRows(none))
              .getMessage()
              .startsWith("expected at least one row of at least one value, got "));
    }
    float[][] ragged = {{1, 2}, {3, 4}, {5}};
    assertEquals(
        "expected rows of one length, 2 as row 0 has, got 1 in row 2; use activations of one hook"
            + " point",
        assertThrows(IllegalArgumentException.class, () -> ActivationSources.ofRows(ragged))
            .getMessage());
  }

  @Test
  void readsShardsOfAnyTypeInTheOrderOfTheirNames() throws IOException {
    float[] rows = count(11);
    shard("b.safetensors", Arrays.copyOfRange(rows, 2 * D, 7 * D), 5, D);
    shard("a.safetensors", Arrays.copyOfRange(rows, 0, 2 * D), 2, D);
    shard(
        "d.safetensors",
        Arrays.copyOfRange(rows, 9 * D, 11 * D),
        2,
        1,
        D); // as `sae activations` writes them
    bfloat16Shard("c.safetensors", Arrays.copyOfRange(rows, 7 * D, 9 * D));
    Files.writeString(folder.resolve("notes.txt"), "not a shard");
    ActivationSource source = ActivationSources.ofShards(folder);
    assertEquals(D, source.dIn());
    assertArrayEquals(rows, readAll(source, 4));
    assertResumesAnywhere(source, 4);
    String before = source.description();
    assertTrue(before.contains("[11, 4] in 4 files"), before);
    rows[0] += 1;
    shard("a.safetensors", Arrays.copyOfRange(rows, 0, 2 * D), 2, D);
    assertNotEquals(before, ActivationSources.ofShards(folder).description());
  }

  @Test
  void saysWhatIsWrongWithShards() throws IOException {
    IOException none = assertThrows(IOException.class, () -> ActivationSources.ofShards(folder));
    assertTrue(none.getMessage().contains("expected *.safetensors files"), none.getMessage());
    shard("a.safetensors", count(2), 2, D);
    shard("b.safetensors", count(2), 4, 2);
    SaeFormatException width =
        assertThrows(SaeFormatException.class, () -> ActivationSources.ofShards(folder));
    assertTrue(
        width.getMessage().contains("expected shape [n, 4] or [sequences, length, 4], got [4, 2]"),
        width.getMessage());
    Safetensors.write(
        folder.resolve("b.safetensors"),
        Map.of(),
        List.of(Tensor.ofFloats("acts", FloatBuffer.allocate(4), 1, 4)));
    SaeFormatException missing =
        assertThrows(SaeFormatException.class, () -> ActivationSources.ofShards(folder));
    assertTrue(
        missing.getMessage().contains("activations: expected a tensor of this name, got [acts]"));
    Path b = folder.resolve("b.safetensors");
    shard("b.safetensors", count(2), 2, D);
    Files.write(b, Arrays.copyOf(Files.readAllBytes(b), (int) Files.size(b) - 1));
    SaeFormatException cut =
        assertThrows(SaeFormatException.class, () -> ActivationSources.ofShards(folder));
    assertTrue(cut.getMessage().contains("activations: expected 32 bytes"), cut.getMessage());
  }

  @Test
  void pairsOfAModelAreBothHooksSideBySide() throws IOException {
    int[][] text = {{1, 2, 3}, {1, 9, 4, 5}, {1}, {1, 7, 6}, {1, 2, 9, 9, 8}};
    ActivationFilter filter = new ActivationFilter(1, Set.of(9), 1000);
    HookPoint in = HookPoint.residPre(1);
    HookPoint target = HookPoint.residPre(0);
    LanguageModel model = new TableModel(0.5f);
    PairedSource pairs =
        ActivationSources.ofModel(model, in, target, TableModel.text(text), filter, 3);
    assertEquals(2 * D, pairs.dIn());
    assertEquals(D, pairs.dOut());
    assertTrue(pairs.description().contains(in + " -> " + target), pairs.description());
    float[] all = readAll(pairs, 2);
    for (HookPoint hook : List.of(in, target)) {
      ActivationSource one =
          ActivationSources.ofModel(model, hook, TableModel.text(text), filter, 3);
      float[] alone = readAll(one, 2);
      assertEquals(7 * D, alone.length);
      int column = hook.equals(in) ? 0 : D;
      for (int i = 0; i < alone.length; i++) {
        assertEquals(alone[i], all[i / D * 2 * D + column + i % D], "element " + i + " of " + hook);
      }
    }
    assertThrows(
        IllegalArgumentException.class,
        () -> ActivationSources.ofModel(model, in, in, TableModel.text(text), filter, 3));
  }

  @Test
  void readsAModelAndLeavesOutWhatTheFilterSays() throws IOException {
    // Sequences of different lengths, three per forward pass; token 9 is excluded, token 7 has a
    // huge norm.
    int[][] text = {{1, 2, 3}, {1, 9, 4, 5}, {1}, {1, 7, 6}, {1, 2, 9, 9, 8}};
    ActivationFilter filter = new ActivationFilter(1, Set.of(9), 1000);
    ActivationSource source =
        ActivationSources.ofModel(
            new TableModel(), HookPoint.residPre(1), TableModel.text(text), filter, 3);
    float[] expected = {
      TableModel.row(2, 1),
      TableModel.row(3, 2),
      TableModel.row(4, 2),
      TableModel.row(5, 3),
      TableModel.row(6, 2),
      TableModel.row(2, 1),
      TableModel.row(8, 4)
    };
    float[] all = readAll(source, 2);
    float[] first = new float[expected.length];
    for (int i = 0; i < first.length; i++) {
      first[i] = all[i * D];
    }
    assertArrayEquals(expected, first);
    assertResumesAnywhere(source, 2);
    try (ActivationReader reader = source.open(0);
        ActivationBatch batch = ActivationBatch.allocate(backend, 50, D)) {
      while (reader.read(batch) >= 0) {
        assertTrue(batch.rows() <= 50);
      }
      assertEquals(new ActivationFilter.Counts(7, 5, 3, 1), reader.counts());
    }
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                ActivationSources.ofModel(
                    new TableModel(), HookPoint.residPre(5), TableModel.text(text), filter, 3));
    assertTrue(
        e.getMessage()
            .contains("L in [0, 2) and SITE one of [hook_resid_pre], got blocks.5.hook_resid_pre"),
        e.getMessage());
  }

  @Test
  void calibratesTheBoundOnTheNorm() throws IOException {
    int[][] text = {{1, 2, 3}, {1, 4}, {1, 7, 5}, {1, 1000, 1000}};
    ActivationFilter base = new ActivationFilter(1, Set.of(), Double.POSITIVE_INFINITY);
    ActivationFilter.Norms norms =
        base.norms(new TableModel(), HookPoint.residPre(0), TableModel.text(text), 2, 3);
    // kept: TableModel.row(2, 1), TableModel.row(3, 2), TableModel.row(4, 1), TableModel.row(7, 1),
    // TableModel.row(5, 2); a row's norm is twice its value
    assertEquals(5, norms.rows());
    assertEquals(2 * TableModel.row(4, 1), norms.median(), 1e-9);
    assertEquals(3, norms.meanByPosition().size());
    assertEquals(2 * TableModel.row(1, 0), norms.meanByPosition().get(0), 1e-9);
    assertEquals(
        2 * (TableModel.row(3, 2) + TableModel.row(5, 2)) / 2, norms.meanByPosition().get(2), 1e-9);
    ActivationFilter bounded =
        base.calibrated(new TableModel(), HookPoint.residPre(0), TableModel.text(text), 2, 3);
    assertEquals(10 * norms.median(), bounded.maxNorm(), 1e-9);
    assertEquals(1, bounded.skipPositions());
  }

  @Test
  void neverLeavesOutInfinityInSilence() throws IOException {
    ActivationSource source =
        ActivationSources.ofModel(
            new TableModel(),
            HookPoint.residPre(0),
            TableModel.text(new int[][] {{TableModel.INFINITE, 2}}),
            new ActivationFilter(0, Set.of(), 10),
            1);
    assertEquals(Float.POSITIVE_INFINITY, readAll(source, 2)[0]);
  }

  @Test
  void superpositionIsWhatItSays() throws IOException {
    Superposition source = SyntheticFeatures.superposition(50, 20, 3, Magnitude.ONE, 0, 4000, 1);
    float[][] directions = source.directions();
    assertEquals(50, directions.length);
    double norms = 0;
    for (float[] direction : directions) {
      double squares = 0;
      for (float x : direction) {
        squares += x * x;
      }
      assertEquals(1, squares, 1e-5);
    }
    float[] rows = readAll(source, 64);
    assertEquals(4000 * 20, rows.length);
    for (float x : rows) {
      norms += x * x;
    }
    // Three of fifty nearly orthogonal unit vectors per row: the mean square norm is near 3.
    assertEquals(3, norms / 4000, 0.3);
    assertResumesAnywhere(
        SyntheticFeatures.superposition(50, 20, 3, Magnitude.HALF_NORMAL, 0.1, 30, 1), 7);
    assertResumesAnywhere(
        SyntheticFeatures.builder(20, 6)
            .layout(SyntheticFeatures.Layout.EVEN)
            .firing(PerFeature.zipf(1, 0.5, 0.1))
            .scale(PerFeature.foldedNormal(1, 0.2))
            .deviation(PerFeature.constant(0.3))
            .correlated(3, 0.2)
            .hierarchy(new Hierarchy(2, 3, 2, 0.5, true, true))
            .bias(1)
            .noise(0.1)
            .build()
            .source(30, 1),
        7);
    float[] otherSeed =
        readAll(SyntheticFeatures.superposition(50, 20, 3, Magnitude.ONE, 0, 4000, 2), 64);
    assertNotEquals(rows[0], otherSeed[0]);
  }

  /** Resuming from any position gives the same rows as one complete pass, bit for bit. */
  private void assertResumesAnywhere(ActivationSource source, int capacity) throws IOException {
    float[] all = readAll(source, capacity);
    int d = source.dIn();
    try (ActivationReader reader = source.open(0);
        ActivationBatch batch = ActivationBatch.allocate(backend, 1, d)) {
      for (int row = 0; row * d <= all.length; row++) {
        float[] rest = readFrom(source, reader.position(), capacity);
        assertArrayEquals(Arrays.copyOfRange(all, row * d, all.length), rest, "from row " + row);
        batch.rows(0);
        reader.read(batch);
      }
    }
  }

  private float[] readAll(ActivationSource source, int capacity) throws IOException {
    return readFrom(source, 0, capacity);
  }

  private float[] readFrom(ActivationSource source, long position, int capacity)
      throws IOException {
    float[] rows = new float[0];
    try (ActivationReader reader = source.open(position);
        ActivationBatch batch = ActivationBatch.allocate(backend, capacity, source.dIn())) {
      while (reader.read(batch) >= 0) {
        int size = batch.rows() * source.dIn();
        rows = Arrays.copyOf(rows, rows.length + size);
        batch.data().get(rows, rows.length - size, size);
        batch.rows(0);
      }
    }
    return rows;
  }

  private static float[] count(int rows) {
    float[] values = new float[rows * D];
    for (int i = 0; i < values.length; i++) {
      values[i] = i - 3;
    }
    return values;
  }

  private void shard(String name, float[] values, long... shape) throws IOException {
    Safetensors.write(
        folder.resolve(name),
        Map.of(),
        List.of(Tensor.ofFloats("activations", FloatBuffer.wrap(values), shape)));
  }

  private void bfloat16Shard(String name, float[] values) throws IOException {
    Safetensors.write(
        folder.resolve(name),
        Map.of(),
        List.of(
            new Tensor(
                "activations",
                DType.BF16,
                List.of((long) values.length / D, (long) D),
                (first, chunk) -> {
                  for (int i = (int) first; chunk.hasRemaining(); i++) {
                    chunk.putShort((short) (Float.floatToIntBits(values[i]) >>> 16));
                  }
                })));
  }
}
