package io.faithfulsae;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ShardIndex.Precision;
import io.faithfulsae.ShardWriter.Options;
import io.faithfulsae.internal.HostBuffer;
import io.faithfulsae.io.Mutations;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Reading a modified folder of shards gives the rows that were written, or fails. */
class DamagedShardsTest {
  private static final int[][] TEXT = {{1, 2, 3}, {1, 9, 4, 5}, {1}, {1, 7, 6}, {1, 2, 9, 9, 8}};
  private static final Options OPTIONS =
      new Options(Precision.FP32, 1024 + 5 * 28, Long.MAX_VALUE, Long.MAX_VALUE, Map.of("m", "t"));

  @TempDir Path dir;
  private Path index;

  @BeforeEach
  void write() throws IOException {
    try (ShardWriter writer = ShardWriter.open(dir, model(), OPTIONS)) {
      while (writer.advance()) {}
    }
    index = dir.resolve(ShardIndex.FILE);
  }

  private static ActivationSource model() {
    return ActivationSources.ofModel(
        new TableModel(),
        HookPoint.residPre(1),
        TableModel.text(TEXT),
        new ActivationFilter(1, Set.of(9), 1000),
        3);
  }

  @Test
  void aDamagedIndexIsNotBelieved() throws IOException {
    int rejected = Mutations.check(index, 3000, 13, Integer.MAX_VALUE, this::rows);
    assertTrue(rejected > 2500, "rejected " + rejected);
  }

  @Test
  void aDamagedShardIsNotRead() throws IOException {
    Path shard = dir.resolve("shard-00001.safetensors");
    assertTrue(Mutations.check(shard, 1000, 13, Integer.MAX_VALUE, this::rows) > 900);
  }

  @Test
  void aWriterDoesNotGoOnFromADamagedIndex() throws IOException {
    List<Float> expected = rows();
    String text = Files.readString(index);
    String stopped = text.replace("\"complete\" : true", "\"complete\" : false");
    Files.writeString(index, stopped.replace("\"end\" : 2", "\"end\" : 3"));
    String said =
        assertThrows(SaeFormatException.class, () -> ShardWriter.open(dir, model(), OPTIONS))
            .getMessage();
    assertTrue(said.contains("index.json: checksum: expected "), said);
    Files.writeString(index, text.replaceAll("\\s*\"checksum\" : \"\\w{16}\",?", ""));
    assertThrows(SaeFormatException.class, this::rows, "an index without a checksum");
    Files.writeString(index, text.replace("\n", " "));
    assertEquals(expected, rows(), "white space is not content");
  }

  @Test
  void shardsThatChangedPlacesAreFound(@TempDir Path even) throws IOException {
    // Two rows each, so that only the checksums differ.
    Options small =
        new Options(Precision.FP32, 1024 + 2 * 28, Long.MAX_VALUE, Long.MAX_VALUE, Map.of());
    try (ShardWriter writer = ShardWriter.open(even, model(), small)) {
      while (writer.advance()) {}
    }
    dir = even;
    Path first = dir.resolve("shard-00000.safetensors");
    Path second = dir.resolve("shard-00001.safetensors");
    assertEquals(Files.size(first), Files.size(second));
    Path aside = dir.resolve("aside");
    Files.move(first, aside);
    Files.move(second, first);
    Files.move(aside, second);
    String said = assertThrows(SaeFormatException.class, this::rows).getMessage();
    assertTrue(said.contains("shard-00000.safetensors: checksum: expected "), said);
  }

  private List<Float> rows() throws IOException {
    ActivationSource source = ActivationSources.ofShards(dir);
    List<Float> values = new ArrayList<>();
    RowOrigins origins = new RowOrigins();
    try (ActivationReader reader = source.open(0);
        ActivationBatch batch =
            ActivationBatch.over(new HostBuffer(7 * source.dIn() * 4), 7, source.dIn())) {
      while (reader.read(batch, origins) > 0) {
        for (int i = 0; i < batch.rows() * source.dIn(); i++) {
          values.add(batch.data().get(i));
        }
        batch.rows(0);
      }
    }
    for (int i = 0; i < origins.size(); i++) {
      values.add((float) origins.token(i));
    }
    return values;
  }
}
