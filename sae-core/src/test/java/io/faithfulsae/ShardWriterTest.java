package io.faithfulsae;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ShardIndex.Precision;
import io.faithfulsae.ShardWriter.Options;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.BFloat16;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.synthetic.SyntheticFeatures;
import io.faithfulsae.synthetic.SyntheticFeatures.Magnitude;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingRun;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.IntBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Over 400 lines: one fixture of small folders for all cases. */
class ShardWriterTest {
  /** Sequences of different lengths, three per forward pass; token 9 is excluded. */
  private static final int[][] TEXT = {
    {1, 2, 3}, {1, 9, 4, 5}, {1}, {1, 7, 6}, {1, 2, 9, 9, 8}, {1, 4, 4, 4, 4, 4, 4}, {1, 5, 3, 2}
  };

  private static final ActivationFilter FILTER = new ActivationFilter(1, Set.of(9), 1000);
  private static final int ROWS = 16;

  /** Three rows per shard: 28 bytes each in float32, 20 in bfloat16, and the header. */
  private static final int SMALL = 1024 + 3 * 28;

  @TempDir Path folder;
  private final Backend backend = new ReferenceBackend();

  @AfterEach
  void close() {
    backend.close();
  }

  private static ActivationSource model() {
    return ActivationSources.ofModel(
        new TableModel(), HookPoint.residPre(1), TableModel.text(TEXT), FILTER, 3);
  }

  private static Options small(Precision precision) {
    return new Options(
        precision, SMALL, Long.MAX_VALUE, Long.MAX_VALUE, Map.of("model_name", "table"));
  }

  @Test
  void whatIsReadBackIsWhatTheSourceGives() throws IOException {
    float[] live = readAll(model(), null);
    assertEquals(ROWS * TableModel.D, live.length);
    for (Precision precision : Precision.values()) {
      Path dir = folder.resolve(precision.toString());
      ShardIndex index = write(dir, model(), small(precision));
      assertTrue(index.complete());
      assertEquals(ROWS, index.rows());
      assertEquals(new ActivationFilter.Counts(ROWS, 7, 3, 1), index.filtered());
      assertEquals(index, ShardIndex.read(dir));
      assertEquals("table", index.metadata().get("model_name"));
      assertTrue(index.shards().size() > 2);
      float[] stored = readAll(ActivationSources.ofShards(dir), null);
      for (int i = 0; i < live.length; i++) {
        float expected =
            precision == Precision.FP32
                ? live[i]
                : Float.intBitsToFloat(BFloat16.round(live[i]) << 16);
        assertEquals(expected, stored[i]);
      }
    }
  }

  @Test
  void everyRowSaysWhereItComesFrom() throws IOException {
    Path dir = folder.resolve("shards");
    ShardIndex index = write(dir, model(), small(Precision.BF16));
    RowOrigins origins = new RowOrigins();
    readAll(ActivationSources.ofShards(dir), origins);
    RowOrigins live = new RowOrigins();
    readAll(model(), live);
    int row = 0;
    for (int s = 0; s < TEXT.length; s++) {
      for (int p = 1; p < TEXT[s].length; p++) {
        if (TEXT[s][p] != 9 && TEXT[s][p] != 7) {
          assertEquals(s, origins.sequence(row));
          assertEquals(p, origins.position(row));
          assertEquals(TEXT[s][p], origins.token(row));
          assertEquals(s, live.sequence(row));
          row++;
        }
      }
    }
    assertEquals(ROWS, row);
    assertEquals(ROWS, origins.size());
    // Other programs find them in the file by name.
    Path second = dir.resolve(index.shards().get(1).file());
    try (Safetensors shard = Safetensors.open(second)) {
      int rows = index.shards().get(1).rows();
      int[] tokens = new int[rows];
      shard.readInts("token", 0, IntBuffer.wrap(tokens));
      for (int i = 0; i < rows; i++) {
        assertEquals(origins.token(index.rowsPerShard() + i), tokens[i]);
      }
    }
  }

  @Test
  void aStoppedWriterGoesOnToTheSameBytes() throws IOException {
    ActivationSource synthetic =
        SyntheticFeatures.superposition(9, 5, 2, Magnitude.UNIFORM, 0.1, 40, 1);
    for (ActivationSource source : new ActivationSource[] {model(), synthetic}) {
      for (Precision precision : Precision.values()) {
        Path whole = folder.resolve("whole" + source.dIn() + precision);
        write(whole, source, small(precision));
        Map<String, ByteBuffer> expected = bytes(whole);
        for (int stop = 0; stop < expected.size() + 2; stop++) {
          Path dir = folder.resolve("stopped" + source.dIn() + precision + stop);
          try (ShardWriter writer = ShardWriter.open(dir, source, small(precision))) {
            for (int i = 0; i < stop; i++) {
              writer.advance();
            }
          }
          // After a kill there may be a temporary file, and a shard missing from the index.
          Files.writeString(dir.resolve(".shard-00001.safetensors.1f.tmp"), "half");
          Files.writeString(
              dir.resolve("shard-%05d.safetensors".formatted(ShardIndex.read(dir).shards().size())),
              "old");
          if (!ShardIndex.read(dir).complete()) {
            write(dir, source, small(precision));
            assertEquals(expected, bytes(dir), "stopped after " + stop);
          }
        }
      }
    }
  }

  /** Rows of a partial shard are kept too, wherever the writer is stopped. */
  @Test
  void aFlushedWriterLosesNoRowAndGoesOnToTheSameBytes() throws IOException {
    for (Precision precision : Precision.values()) {
      for (long shardBytes : new long[] {1024 + 7 * 28, 1 << 16}) {
        Options options =
            new Options(
                precision, shardBytes, Long.MAX_VALUE, Long.MAX_VALUE, Map.of("model", "table"));
        Path whole = folder.resolve("whole" + precision + shardBytes);
        write(whole, model(), options);
        Map<String, ByteBuffer> expected = bytes(whole);
        Path dir = folder.resolve("flushed" + precision + shardBytes);
        long rows = 0;
        int parts = 0;
        for (boolean more = true; more; ) {
          try (ShardWriter writer = ShardWriter.open(dir, model(), options)) {
            assertEquals(rows, writer.rows(), "none is lost");
            more = writer.advance();
            rows = writer.rows();
            writer.flush();
            writer.flush();
            assertEquals(rows, writer.index().rows());
            assertEquals(writer.index(), ShardIndex.read(dir));
          }
          if (more) {
            parts += String.valueOf(ShardIndex.read(dir).shards()).contains(".part") ? 1 : 0;
            assertReaderSays(dir, "complete: expected a complete folder of shards");
            // After a kill there may be the previous file, and one missing from the index.
            Files.writeString(dir.resolve("shard-00000-0.part"), "old");
            Files.writeString(dir.resolve(".shard-00000-9.part.1f.tmp"), "half");
            Files.writeString(dir.resolve("shard-00000-99.part"), "new");
          }
        }
        assertEquals(expected, bytes(dir));
        assertTrue(parts > 0 || shardBytes < 1 << 16, "large shards were flushed half-full");
      }
    }
  }

  @Test
  void aPartThatIsNotTheIndexsIsRejected() throws IOException {
    Path dir = folder.resolve("shards");
    Options large = new Options(Precision.FP32, 1 << 16, 1 << 20, Long.MAX_VALUE, Map.of());
    try (ShardWriter writer = ShardWriter.open(dir, model(), large)) {
      writer.advance();
      writer.flush();
    }
    Path part = dir.resolve(ShardIndex.read(dir).shards().get(0).file());
    write(folder.resolve("other"), model(), small(Precision.FP32));
    Files.copy(
        folder.resolve("other/shard-00000.safetensors"),
        part,
        java.nio.file.StandardCopyOption.REPLACE_EXISTING);
    assertSays(dir, large, ": activations: expected F32[");
  }

  @Test
  void aFolderHasOneWriter() throws IOException {
    Path dir = folder.resolve("shards");
    try (ShardWriter writer = ShardWriter.open(dir, model(), small(Precision.FP32))) {
      String said =
          assertThrows(
                  IOException.class,
                  () -> ShardWriter.open(dir, model(), small(Precision.FP32)).close())
              .getMessage();
      assertTrue(said.contains("process " + ProcessHandle.current().pid()), said);
      for (boolean more = true; more; ) {
        more = writer.advance();
      }
    }
    assertFalse(Files.exists(dir.resolve(".lock")));
    // The lock on a rejected folder is released.
    assertSays(dir, small(Precision.BF16), "precision");
    assertSays(dir, small(Precision.BF16), "precision");
  }

  @Test
  void trainingOnShardsIsTrainingOnTheSource() throws IOException, InterruptedException {
    ActivationSource live = SyntheticFeatures.superposition(12, 8, 2, Magnitude.UNIFORM, 0, 100, 5);
    write(folder.resolve("shards"), live, small(Precision.FP32));
    byte[] expected = train(live, folder.resolve("live"));
    byte[] stored =
        train(ActivationSources.ofShards(folder.resolve("shards")), folder.resolve("stored"));
    assertArrayEquals(expected, stored);
  }

  private byte[] train(ActivationSource source, Path dir) throws IOException, InterruptedException {
    TrainingConfig config =
        TrainingConfig.builder().tokens(300).batch(16).bufferRows(70).lr(1e-2).build();
    try (TrainingRun run =
        SaeTrainer.of(SaeConfig.topK(8, 24, 3), config, backend).start(source, dir)) {
      run.await();
    }
    return Files.readAllBytes(dir.resolve("sae_weights.safetensors"));
  }

  @Test
  void endsAtTheLimitOfRows() throws IOException {
    for (int limit : new int[] {1, 3, 4, 6, ROWS, ROWS + 1}) {
      Path dir = folder.resolve("limit" + limit);
      Options options = new Options(Precision.FP32, SMALL, Long.MAX_VALUE, limit, Map.of());
      ShardIndex index = write(dir, model(), options);
      assertEquals(Math.min(limit, ROWS), index.rows());
      float[] all = readAll(model(), null);
      assertArrayEquals(
          Arrays.copyOf(all, Math.min(limit, ROWS) * TableModel.D),
          readAll(ActivationSources.ofShards(dir), null));
      try (ShardWriter again = ShardWriter.open(dir, model(), options)) {
        assertFalse(again.advance(), "nothing is left to do");
        assertEquals(OptionalLong.of(index.rows()), again.rowsAtMost());
      }
    }
  }

  @Test
  void saysBeforeItStartsThatTheRowsNeedTooMuch() throws IOException {
    Path dir = folder.resolve("shards");
    ActivationSource neverRun =
        new ActivationSource() {
          @Override
          public int dIn() {
            return 1_000;
          }

          @Override
          public String description() {
            return "large";
          }

          @Override
          public OptionalLong rowsAtMost(long enough) {
            return OptionalLong.of(Math.min(enough, 1L << 50));
          }

          @Override
          public ActivationReader open(long position) {
            throw new AssertionError("nothing is to be computed");
          }
        };
    Options bounded = new Options(Precision.FP32, SMALL, 1_000_000, Long.MAX_VALUE, Map.of());
    String limit =
        assertThrows(IllegalArgumentException.class, () -> ShardWriter.open(dir, neverRun, bounded))
            .getMessage();
    assertTrue(limit.contains("expected at most 1,000,000 bytes of shards, got at least"), limit);
    String disk =
        assertThrows(
                IOException.class, () -> ShardWriter.open(dir, neverRun, small(Precision.FP32)))
            .getMessage();
    assertTrue(disk.contains("expected room for") && disk.contains("free disk space"), disk);
    assertFalse(ShardIndex.isIn(dir));
    assertThrows(
        IllegalArgumentException.class,
        () -> new Options(Precision.FP32, 2L << 30, 1, 1, Map.of()));
  }

  @Test
  void aSourceThatCannotBeCountedEndsAtTheLimit() throws IOException {
    ActivationSource counted = model();
    ActivationSource uncounted =
        new ActivationSource() {
          @Override
          public int dIn() {
            return counted.dIn();
          }

          @Override
          public String description() {
            return "uncounted";
          }

          @Override
          public ActivationReader open(long position) throws IOException {
            return counted.open(position);
          }
        };
    Options options = new Options(Precision.FP32, SMALL, 3 * SMALL, Long.MAX_VALUE, Map.of());
    Path dir = folder.resolve("shards");
    assertThrows(IllegalArgumentException.class, () -> write(dir, uncounted, options));
    assertEquals(6, ShardIndex.read(dir).rows());
  }

  @Test
  void rejectsWhatIsNotItsOwn() throws IOException {
    Path dir = folder.resolve("shards");
    write(dir, model(), small(Precision.FP32));
    assertSays(dir, small(Precision.BF16), "precision: expected BF16");
    assertSays(
        dir,
        new Options(Precision.FP32, SMALL, Long.MAX_VALUE, 5, Map.of("model_name", "table")),
        "row_limit: expected 5");
    assertSays(
        dir,
        new Options(Precision.FP32, SMALL, Long.MAX_VALUE, Long.MAX_VALUE, Map.of()),
        "metadata: expected {}");
    Path foreign = Files.createDirectories(folder.resolve("foreign"));
    Files.writeString(foreign.resolve("model.safetensors"), "");
    assertSays(foreign, small(Precision.FP32), "model.safetensors: expected a folder with shards");
  }

  @Test
  void rowsThatAreNotFiniteAreNotWritten() {
    for (float value : new float[] {Float.NaN, Float.NEGATIVE_INFINITY, 3.4e38f}) {
      float[] rows = new float[28];
      rows[22] = value;
      Path dir = folder.resolve("not-finite" + value);
      ActivationSource source = ActivationSources.ofArray(rows, 4);
      String said =
          assertThrows(
                  IllegalArgumentException.class, () -> write(dir, source, small(Precision.BF16)))
              .getMessage();
      assertTrue(
          said.startsWith(
              "expected activations that BF16 can hold, got "
                  + value
                  + " in row 5, column 2 (all from 0) of "
                  + source.description()),
          said);
    }
  }

  @Test
  void aReaderSaysWhatIsWrongWithTheFolder() throws IOException {
    Path dir = folder.resolve("shards");
    try (ShardWriter writer = ShardWriter.open(dir, model(), small(Precision.FP32))) {
      while (writer.index().shards().size() < 2) {
        writer.advance();
      }
    }
    assertReaderSays(dir, "complete: expected a complete folder of shards, got the first 6 rows");
    write(dir, model(), small(Precision.FP32));
    Path first = dir.resolve("shard-00000.safetensors");
    Files.copy(first, dir.resolve("shard-00099.safetensors"));
    assertReaderSays(dir, "shard-00099.safetensors]; restore missing files");
    Files.delete(dir.resolve("shard-00099.safetensors"));
    Files.copy(
        dir.resolve("shard-00005.safetensors"),
        first,
        java.nio.file.StandardCopyOption.REPLACE_EXISTING);
    assertReaderSays(dir, "shard-00000.safetensors: activations: expected F32[3, 4]");
    Files.writeString(dir.resolve(ShardIndex.FILE), "{\"version\": 1}");
    assertThrows(SaeFormatException.class, () -> ShardIndex.read(dir).complete());
  }

  private static void assertSays(Path dir, Options options, String part) {
    String message =
        assertThrows(SaeFormatException.class, () -> ShardWriter.open(dir, model(), options))
            .getMessage();
    assertTrue(message.contains(part), message);
  }

  private static void assertReaderSays(Path dir, String part) {
    String message =
        assertThrows(SaeFormatException.class, () -> ActivationSources.ofShards(dir)).getMessage();
    assertTrue(message.contains(part), message);
  }

  private static ShardIndex write(Path dir, ActivationSource source, Options options)
      throws IOException {
    try (ShardWriter writer = ShardWriter.open(dir, source, options)) {
      long before = writer.rows();
      while (writer.advance()) {
        assertTrue(writer.rows() >= before);
        before = writer.rows();
      }
      return writer.index();
    }
  }

  private static Map<String, ByteBuffer> bytes(Path dir) throws IOException {
    Map<String, ByteBuffer> files = new TreeMap<>();
    try (Stream<Path> list = Files.list(dir)) {
      for (Path file : list.toList()) {
        files.put(file.getFileName().toString(), ByteBuffer.wrap(Files.readAllBytes(file)));
      }
    }
    return files;
  }

  private float[] readAll(ActivationSource source, RowOrigins origins) throws IOException {
    float[] rows = new float[0];
    try (ActivationReader reader = source.open(0);
        ActivationBatch batch = ActivationBatch.allocate(backend, 7, source.dIn())) {
      while ((origins == null ? reader.read(batch) : reader.read(batch, origins)) >= 0) {
        int size = batch.rows() * source.dIn();
        rows = Arrays.copyOf(rows, rows.length + size);
        batch.data().get(rows, rows.length - size, size);
        batch.rows(0);
      }
    }
    return rows;
  }
}
