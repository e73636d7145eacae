package io.faithfulsae.internal;

import io.faithfulsae.ActivationSource;
import io.faithfulsae.RowOrigins;
import io.faithfulsae.ShardIndex;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.io.Safetensors.Entry;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.OptionalLong;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** A folder in which a writer of shards starts or resumes. */
public record ShardFolder(Path dir) {
  /** Upper bound on the size of a shard's header. */
  public static final int HEADER_BYTES = 1024;

  /** The name of a shard. */
  public static String name(int number) {
    return String.format(Locale.ROOT, "shard-%05d.safetensors", number);
  }

  /** The name of the file with the first rows of a shard; it is not one of the shards. */
  public static String partName(int number, int rows) {
    return String.format(Locale.ROOT, "shard-%05d-%d.part", number, rows);
  }

  /** Whether a shard is partial. */
  public static boolean isPart(ShardIndex.Shard shard) {
    return shard.file().endsWith(".part");
  }

  /**
   * The index to resume from: the one in the folder if it has the same source and options.
   *
   * @param wanted an index without shards
   * @throws SaeFormatException if the folder holds something else
   */
  public ShardIndex begin(ShardIndex wanted) throws IOException {
    ShardIndex index = wanted;
    if (ShardIndex.isIn(dir)) {
      index = ShardIndex.read(dir);
      requireSame("source", wanted.source(), index.source());
      requireSame("metadata", wanted.metadata(), index.metadata());
      requireSame("precision", wanted.precision(), index.precision());
      requireSame("rows_per_shard", wanted.rowsPerShard(), index.rowsPerShard());
      requireSame("row_limit", wanted.rowLimit(), index.rowLimit());
    }
    boolean begun = ShardIndex.isIn(dir);
    List<String> shards = index.shards().stream().map(ShardIndex.Shard::file).toList();
    for (Path file : files()) {
      String name = String.valueOf(file.getFileName());
      if (begun && isLeftOver(name, shards)) {
        Files.delete(file);
      } else if (name.endsWith(".safetensors") && !shards.contains(name)) {
        throw new SaeFormatException(
            dir,
            name,
            Expected.message("a folder with shards only", "another file", "use an empty folder"));
      }
    }
    for (ShardIndex.Shard shard : index.shards()) {
      checkShape(index, shard);
    }
    return index;
  }

  /**
   * Checks that a shard exists and has the number of rows in the index. Readers verify the contents
   * by the checksum.
   *
   * @throws SaeFormatException if it is another file
   */
  void checkShape(ShardIndex index, ShardIndex.Shard shard) throws IOException {
    Path file = dir.resolve(shard.file());
    if (!Files.exists(file)) {
      throw new SaeFormatException(
          dir,
          shard.file(),
          Expected.message("the shard", "none", "put it back, or delete the folder"));
    }
    try (Safetensors tensors = Safetensors.open(file)) {
      Entry entry = tensors.entry(ShardBuffer.ACTIVATIONS);
      DType type = ShardBuffer.type(index.precision());
      List<Long> shape = List.of((long) shard.rows(), (long) index.dIn());
      if (entry.dtype() != type || !entry.shape().equals(shape)) {
        throw new SaeFormatException(
            file,
            ShardBuffer.ACTIVATIONS,
            Expected.message(
                type.toString() + shape + " as the index has it",
                entry.dtype().toString() + entry.shape(),
                "write the shards again"));
      }
    }
  }

  /** Files that a killed writer had not yet renamed or added to the index. */
  private static boolean isLeftOver(String name, List<String> shards) {
    String shard = "shard-\\d+(\\.safetensors|-\\d+\\.part)";
    return name.matches("\\.(" + shard + "|index\\.json)\\.[0-9a-f]+\\.tmp")
        || (name.matches(shard) && !shards.contains(name));
  }

  private void requireSame(String field, @Nullable Object wanted, @Nullable Object found)
      throws IOException {
    if (!Objects.equals(wanted, found)) {
      throw new SaeFormatException(
          dir.resolve(ShardIndex.FILE),
          field,
          Expected.message(
              wanted + " as the shards to be written have it",
              found,
              "use another folder, or delete this one"));
    }
  }

  /**
   * Checks rows before they are written.
   *
   * @param first index of the first row
   * @param values <b>Shape</b> {@code [n, dIn]}
   * @param origins of the rows, or empty
   * @throws IllegalArgumentException naming the source and the row that is not finite, or too large
   */
  public static void requireFinite(
      ShardIndex index, long first, FloatBuffer values, RowOrigins origins) {
    float[] row = new float[index.dIn()];
    float largest = ShardBuffer.largest(index.precision());
    for (int r = 0; r < values.remaining() / row.length; r++) {
      values.get(values.position() + r * row.length, row);
      for (int column = 0; column < row.length; column++) {
        if (!(Math.abs(row[column]) <= largest)) {
          throw new IllegalArgumentException(
              Expected.message(
                  "activations that %s can hold".formatted(index.precision()),
                  "%s in row %d%s, column %d (all from 0) of %s"
                      .formatted(
                          row[column],
                          first + r,
                          origins.size() == 0
                              ? ""
                              : " (sequence %d, position %d)"
                                  .formatted(origins.sequence(r), origins.position(r)),
                          column,
                          index.source()),
                  "repair the data, or drop that row"));
        }
      }
    }
  }

  private List<Path> files() throws IOException {
    try (Stream<Path> files = Files.list(dir)) {
      return files.sorted().toList();
    }
  }

  /**
   * Checks that the missing rows fit into the byte limit and onto the disk.
   *
   * @return upper bound on the final number of rows
   * @throws IllegalArgumentException if they need more than the byte limit
   */
  public OptionalLong checkRoom(
      ShardIndex index, ActivationSource source, long maxBytes, long maxRows) throws IOException {
    long rowBytes = ShardBuffer.rowBytes(index.precision(), index.dIn());
    long free = Files.getFileStore(dir).getUsableSpace();
    long written = bytes(index, index.rows());
    long allowed = Math.min(maxBytes, free > Long.MAX_VALUE - written ? free : free + written);
    // Stop counting the text once it is known to be too long, or long enough.
    OptionalLong counted = source.rowsAtMost(Math.min(maxRows, allowed / rowBytes + 1));
    OptionalLong rows =
        maxRows == Long.MAX_VALUE
            ? counted
            : OptionalLong.of(Math.min(maxRows, counted.orElse(maxRows)));
    requireWithin(maxBytes, index, rows.orElse(0));
    long needed = bytes(index, rows.orElse(0));
    if (needed > allowed) {
      throw new IOException(
          Expected.message(
              "room for " + count(needed - written) + " bytes of shards in " + dir,
              count(free),
              "free disk space, use fewer rows, or bfloat16"));
    }
    return rows;
  }

  /**
   * Checks that the rows fit into the byte limit.
   *
   * @throws IllegalArgumentException if they need more than the byte limit
   */
  public static void requireWithin(long maxBytes, ShardIndex index, long rows) {
    long needed = bytes(index, rows);
    if (needed > maxBytes) {
      throw new IllegalArgumentException(
          Expected.message(
              "at most " + count(maxBytes) + " bytes of shards",
              "at least " + count(needed) + " for " + count(rows) + " rows of " + index.dIn(),
              "raise the limit, use fewer rows, or bfloat16"));
    }
  }

  private static String count(long number) {
    return String.format(Locale.ROOT, "%,d", number);
  }

  private static long bytes(ShardIndex index, long rows) {
    double perRow =
        ShardBuffer.rowBytes(index.precision(), index.dIn())
            + (double) HEADER_BYTES / index.rowsPerShard();
    return (long) Math.ceil(rows * perRow) + HEADER_BYTES;
  }
}
