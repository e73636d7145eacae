package io.faithfulsae;

import io.faithfulsae.ShardIndex.Precision;
import io.faithfulsae.internal.HostBuffer;
import io.faithfulsae.internal.ShardBuffer;
import io.faithfulsae.internal.ShardFolder;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.OutputLock;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.TreeMap;

/**
 * Writes the rows of a source as shards that {@link ActivationSources#ofShards} reads, with a
 * {@link ShardIndex}. Every file is written to a temporary file and renamed. A writer that was
 * stopped or killed resumes after the last full shard or the last {@link #flush} when it is opened
 * again with the same source and options; the final bytes are the same as without the interruption.
 * <!-- assumes: Path dir, ActivationSource source, ShardWriter.Options options -->
 *
 * <pre>{@code
 * try (ShardWriter writer = ShardWriter.open(dir, source, options)) {
 *   while (writer.advance()) {
 *     System.out.println(writer.rows());
 *   }
 * }
 * }</pre>
 *
 * <p><b>Memory</b>: one shard. <b>Threads</b>: one. <b>Closed by</b> whoever opened it.
 */
public final class ShardWriter implements AutoCloseable {
  /** Size of one read, in bytes of float32. */
  private static final int CHUNK_BYTES = 1 << 20;

  private static final long MAX_SHARD_BYTES = 1L << 30;

  private final Path dir;
  private final ActivationSource source;
  private final ActivationReader reader;
  private final ActivationBatch chunk;
  private final RowOrigins origins = new RowOrigins();
  private final ShardBuffer shard;
  private final OptionalLong rowsAtMost;
  private final long maxBytes;
  private final ActivationFilter.Counts filteredBefore;
  private final OutputLock lock;
  private final List<ShardIndex.Shard> whole;
  private ShardIndex index;

  /**
   * What to write.
   *
   * @param precision of the activations
   * @param shardBytes largest size of a shard, at most 1 GiB, since one is held in memory
   * @param maxBytes largest total size; checked before anything is computed if the source knows how
   *     many rows it has
   * @param maxRows the most rows to write
   * @param metadata stored in the index: what the rows are (model, hook, hashes)
   */
  public record Options(
      Precision precision,
      long shardBytes,
      long maxBytes,
      long maxRows,
      Map<String, String> metadata) {
    /** float32 and shards of 256 MiB, with no other limits. */
    public static final Options DEFAULT =
        new Options(Precision.FP32, 256L << 20, Long.MAX_VALUE, Long.MAX_VALUE, Map.of());

    /**
     * Checks the bounds.
     *
     * @throws IllegalArgumentException if one is below 1, or {@code shardBytes} is above 1 GiB
     */
    public Options {
      if (shardBytes < 1 || shardBytes > MAX_SHARD_BYTES || maxBytes < 1 || maxRows < 1) {
        throw new IllegalArgumentException(
            Expected.message(
                "1 to %d bytes per shard and limits of at least 1".formatted(MAX_SHARD_BYTES),
                "%d bytes per shard, %d in all, %d rows".formatted(shardBytes, maxBytes, maxRows),
                "change that value"));
      }
      metadata = Map.copyOf(metadata);
    }
  }

  private ShardWriter(
      Path dir,
      ActivationSource source,
      ShardIndex index,
      OptionalLong rowsAtMost,
      long maxBytes,
      int chunkRows,
      OutputLock lock)
      throws IOException {
    this.dir = dir;
    this.lock = lock;
    this.source = source;
    this.index = index;
    this.rowsAtMost = rowsAtMost;
    this.maxBytes = maxBytes;
    this.filteredBefore = index.filtered();
    this.shard = new ShardBuffer(index.precision(), index.rowsPerShard(), index.dIn());
    this.chunk =
        ActivationBatch.over(
            new HostBuffer(chunkRows * index.dIn() * Float.BYTES), chunkRows, index.dIn());
    List<ShardIndex.Shard> done = index.shards();
    this.whole = new ArrayList<>(done);
    if (!done.isEmpty() && ShardFolder.isPart(done.get(done.size() - 1))) {
      ShardIndex.Shard part = whole.remove(done.size() - 1);
      shard.read(dir.resolve(part.file()), part.rows(), part.checksum());
    }
    this.reader = source.open(done.isEmpty() ? 0 : done.get(done.size() - 1).end());
  }

  /**
   * Starts writing, or resumes from what the folder holds.
   *
   * @param dir created if it does not exist
   * @throws IllegalArgumentException if the rows would need more than {@code maxBytes}
   * @throws SaeFormatException if the folder holds something else, or shards of another source or
   *     of other options
   * @throws IOException if there is not enough room on the disk, or another writer has locked the
   *     folder; the message names it
   */
  public static ShardWriter open(Path dir, ActivationSource source, Options options)
      throws IOException {
    OutputLock lock = OutputLock.ofFolder(dir);
    try {
      return open(dir, source, options, lock);
    } catch (IOException | RuntimeException e) {
      lock.close();
      throw e;
    }
  }

  private static ShardWriter open(
      Path dir, ActivationSource source, Options options, OutputLock lock) throws IOException {
    int dIn = source.dIn();
    long rowBytes = ShardBuffer.rowBytes(options.precision(), dIn);
    int rowsPerShard =
        Math.toIntExact(Math.max(1, (options.shardBytes() - ShardFolder.HEADER_BYTES) / rowBytes));
    ShardIndex wanted =
        new ShardIndex(
            ShardIndex.VERSION,
            source.description(),
            new TreeMap<>(options.metadata()),
            options.precision(),
            dIn,
            rowsPerShard,
            options.maxRows() == Long.MAX_VALUE ? null : options.maxRows(),
            0,
            false,
            ActivationFilter.Counts.ZERO,
            List.of());
    ShardFolder folder = new ShardFolder(dir);
    ShardIndex index = folder.begin(wanted);
    OptionalLong rows =
        index.complete()
            ? OptionalLong.of(index.rows())
            : folder.checkRoom(index, source, options.maxBytes(), options.maxRows());
    int chunkRows = Math.max(1, Math.min(CHUNK_BYTES / Float.BYTES / dIn, index.rowsPerShard()));
    if (!ShardIndex.isIn(dir)) {
      index.write(dir);
    }
    return new ShardWriter(dir, source, index, rows, options.maxBytes(), chunkRows, lock);
  }

  /**
   * Reads some rows and, once the shard is full, writes it to disk.
   *
   * @return false once everything is written
   */
  public boolean advance() throws IOException {
    if (index.complete()) {
      return false;
    }
    Long limit = index.rowLimit();
    long wanted = Math.min(shard.free(), limit == null ? Long.MAX_VALUE : limit - rows());
    int before = (int) Math.max(0, chunk.capacity() - wanted);
    chunk.rows(before);
    origins.clear();
    int count = ActivationSources.read(reader, chunk, origins);
    if (count > 0) {
      FloatBuffer values = chunk.data().slice(before * index.dIn(), count * index.dIn());
      ShardFolder.requireFinite(index, rows(), values, origins);
      shard.add(values, origins);
    }
    boolean ended = count < 0 || (limit != null && rows() == limit);
    if (ended && rows() == 0) {
      throw new IOException(
          Expected.message(
              "rows from " + source.description(), "none", "check the data and the filter"));
    }
    if (ended || shard.free() == 0) {
      finishShard(ended);
    }
    return !ended;
  }

  /**
   * Writes the rows of the unfinished shard to a partial file, which is deleted once the shard is
   * full. Call it before a pause, and from time to time if a shard takes long.
   */
  public void flush() throws IOException {
    if (!index.complete() && rows() > index.rows()) {
      put(ShardFolder.partName(whole.size(), shard.rows()), false);
    }
  }

  private void finishShard(boolean complete) throws IOException {
    boolean more = shard.rows() > 0;
    put(ShardFolder.name(whole.size()), complete);
    if (more) {
      whole.add(index.shards().get(whole.size()));
      shard.clear();
    }
  }

  /** Writes the rows in memory, then the index that includes them; never overwrites a file. */
  private void put(String name, boolean complete) throws IOException {
    List<ShardIndex.Shard> shards = new ArrayList<>(whole);
    long rows = rows();
    if (shard.rows() > 0) {
      ShardFolder.requireWithin(maxBytes, index, rows);
      String checksum = shard.write(dir.resolve(name));
      shards.add(new ShardIndex.Shard(name, shard.rows(), reader.position(), checksum));
    }
    ShardIndex now =
        new ShardIndex(
            index.version(),
            index.source(),
            index.metadata(),
            index.precision(),
            index.dIn(),
            index.rowsPerShard(),
            index.rowLimit(),
            rows,
            complete,
            filteredBefore.plus(reader.counts()),
            shards);
    now.write(dir);
    List<ShardIndex.Shard> before = index.shards();
    index = now;
    if (before.size() > whole.size() && !shards.contains(before.get(whole.size()))) {
      Files.deleteIfExists(dir.resolve(before.get(whole.size()).file()));
    }
  }

  /** Rows so far, including the shard in memory. */
  public long rows() {
    return whole.stream().mapToLong(ShardIndex.Shard::rows).sum() + shard.rows();
  }

  /** Upper bound on the final number of rows; empty if the source does not know. */
  public OptionalLong rowsAtMost() {
    return rowsAtMost;
  }

  /** Index of what is on disk. */
  public ShardIndex index() {
    return index;
  }

  /** Drops the rows since the last shard or {@link #flush}, unless everything is written. */
  @Override
  public void close() {
    try {
      reader.close();
    } finally {
      chunk.close();
      lock.close();
    }
  }
}
