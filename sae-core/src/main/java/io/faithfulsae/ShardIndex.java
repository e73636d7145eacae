package io.faithfulsae;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.io.CheckedJson;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Contents of a folder of shards, stored as {@code index.json} (in snake case) with its own
 * checksum. Each shard is a safetensors file with {@code activations} {@code [rows, dIn]} and, for
 * rows of a text, {@code sequence}, {@code position} and {@code token}, int32 {@code [rows]} each.
 *
 * @param version version of this format, 1
 * @param source the description of the source that was written
 * @param metadata supplied by the caller of the writer: model, hook, hashes
 * @param precision of the activations
 * @param dIn width of a row
 * @param rowsPerShard rows of each shard except the last
 * @param rowLimit the most rows to write; null for no limit
 * @param rows rows in all shards
 * @param complete whether everything was written; a writer that was stopped can resume
 * @param filtered rows that the source kept and dropped
 * @param shards in order
 */
public record ShardIndex(
    int version,
    String source,
    Map<String, String> metadata,
    Precision precision,
    int dIn,
    int rowsPerShard,
    @Nullable Long rowLimit,
    long rows,
    boolean complete,
    ActivationFilter.Counts filtered,
    List<Shard> shards) {
  /** The file's name. */
  public static final String FILE = "index.json";

  /** The version that this release writes. */
  static final int VERSION = 1;

  private static final JsonMapper JSON =
      JsonMapper.builder().propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE).build();

  /** How an activation is stored. */
  public enum Precision {
    /** As computed. */
    FP32(4),
    /** Rounded to nearest, ties to even: half the size, 8 bits of precision. */
    BF16(2);

    private final int bytes;

    Precision(int bytes) {
      this.bytes = bytes;
    }

    /** Bytes of one activation. */
    public int bytes() {
      return bytes;
    }
  }

  /**
   * One shard.
   *
   * @param file its name; a partial shard of an incomplete folder ends in {@code .part}
   * @param rows number of rows
   * @param end {@link ActivationReader#position()} of the source after its last row
   * @param checksum CRC-32C of the file, eight hexadecimal digits
   */
  public record Shard(String file, int rows, long end, String checksum) {}

  /** Copies the collections. */
  public ShardIndex {
    metadata = java.util.Collections.unmodifiableMap(new TreeMap<>(metadata));
    shards = List.copyOf(shards);
  }

  /** Whether a folder has an index; shards written by other software may have none. */
  public static boolean isIn(Path dir) {
    return Files.exists(dir.resolve(FILE));
  }

  /**
   * Reads a folder's index.
   *
   * @throws java.nio.file.NoSuchFileException if there is none
   * @throws SaeFormatException if it is not an index, has a later version, or its checksum does not
   *     match
   */
  public static ShardIndex read(Path dir) throws IOException {
    Path file = dir.resolve(FILE);
    ShardIndex index;
    try {
      index = JSON.treeToValue(CheckedJson.read(file, "write the shards again"), ShardIndex.class);
    } catch (JsonProcessingException e) {
      throw new SaeFormatException(
          file,
          "JSON",
          Expected.message("an index of shards", e.getOriginalMessage(), "write the shards again"));
    }
    if (index.version() != VERSION) {
      throw new SaeFormatException(
          file,
          "version",
          Expected.message("version " + VERSION, index.version(), "use a later release"));
    }
    return index;
  }

  /** Writes it to a temporary file and renames that. */
  void write(Path dir) throws IOException {
    CheckedJson.write(dir.resolve(FILE), JSON.valueToTree(this));
  }
}
