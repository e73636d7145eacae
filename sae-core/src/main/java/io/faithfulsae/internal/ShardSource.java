package io.faithfulsae.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.RowOrigins;
import io.faithfulsae.ShardIndex;
import io.faithfulsae.io.Checksum;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.Fingerprint;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.Entry;
import io.faithfulsae.spi.DeviceBuffer;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Rows in safetensors files, memory-mapped, never loaded as a whole; a position is a row index
 * across all files.
 */
public final class ShardSource implements ActivationSource {
  private static final String TENSOR = ShardBuffer.ACTIVATIONS;
  private static final int SAMPLE_BYTES = 1 << 16;

  /** Size of a block to read ahead, two at a time: mapped pages load too few at a time. */
  private static final long AHEAD_BYTES = 16L << 20;

  private static final ExecutorService READ_AHEAD =
      Executors.newCachedThreadPool(
          work -> {
            Thread thread = new Thread(work, "shard-read-ahead");
            thread.setDaemon(true);
            return thread;
          });

  private record Shard(Path file, long firstRow, long rows) {}

  private final List<Shard> shards = new ArrayList<>();

  /** Checksums of the shards that are not verified yet. */
  private final Map<Path, String> checksums = new ConcurrentHashMap<>();

  private final int dIn;
  private final long rows;
  private final String description;

  /** Checks every {@code *.safetensors} file of a folder, in order of name. */
  public ShardSource(Path dir) throws IOException {
    List<Path> files;
    try (Stream<Path> entries = Files.list(dir)) {
      files =
          entries
              .filter(f -> f.getFileName().toString().endsWith(".safetensors"))
              .sorted()
              .toList();
    }
    if (ShardIndex.isIn(dir)) {
      checkIndex(dir, files);
    }
    long width = -1;
    long total = 0;
    Fingerprint fingerprint = new Fingerprint();
    for (Path file : files) {
      try (Safetensors tensors = Safetensors.open(file)) {
        Entry entry = tensors.entry(TENSOR);
        int axes = entry.shape().size();
        if (axes < 2
            || axes > 3
            || entry.elements() == 0
            || (width >= 0 && entry.dim(axes - 1) != width)) {
          throw new SaeFormatException(
              file,
              TENSOR,
              Expected.message(
                  "shape [n, %1$s] or [sequences, length, %1$s]"
                      .formatted(width < 0 ? "d_in" : width),
                  entry.shape(),
                  "reshape the tensor, or put it into a folder of its own"));
        }
        width = entry.dim(axes - 1);
        shards.add(new Shard(file, total, entry.elements() / width));
        total += entry.elements() / width;
        sample(
            tensors,
            entry,
            fingerprint.add(file.getFileName() + " " + entry.dtype() + entry.shape()));
      }
    }
    if (shards.isEmpty()) {
      throw new IOException(
          Expected.message(
              "*.safetensors files with a tensor \"activations\" [n, d_in] in " + dir,
              "none",
              "use another folder"));
    }
    this.dIn = Math.toIntExact(width);
    this.rows = total;
    this.description =
        "shards ["
            + total
            + ", "
            + width
            + "] in "
            + files.size()
            + " files sha256:"
            + fingerprint.hex();
  }

  /** Checks that the files are exactly those of the index. */
  private void checkIndex(Path dir, List<Path> files) throws IOException {
    ShardIndex index = ShardIndex.read(dir);
    if (!index.complete()) {
      throw new SaeFormatException(
          dir.resolve(ShardIndex.FILE),
          "complete",
          Expected.message(
              "a complete folder of shards",
              "the first " + index.rows() + " rows",
              "resume writing them"));
    }
    List<String> listed = index.shards().stream().map(ShardIndex.Shard::file).toList();
    List<String> found = files.stream().map(file -> file.getFileName().toString()).toList();
    if (!listed.equals(found)) {
      throw new SaeFormatException(
          dir.resolve(ShardIndex.FILE),
          "shards",
          Expected.message(listed.toString(), found, "restore missing files and delete others"));
    }
    for (ShardIndex.Shard shard : index.shards()) {
      new ShardFolder(dir).checkShape(index, shard);
      checksums.put(dir.resolve(shard.file()), shard.checksum());
    }
  }

  /**
   * Verifies a shard's checksum when it is first opened. This reads it from disk once, so that it
   * is cached when its rows are read next.
   */
  private void verify(Path file) throws IOException {
    String expected = checksums.get(file);
    if (expected == null) {
      return;
    }
    Checksum.check(file, expected, ShardIndex.FILE);
    checksums.remove(file);
  }

  /** Hashes both ends of the data; all of it could take minutes. */
  private static void sample(Safetensors tensors, Entry entry, Fingerprint fingerprint)
      throws IOException {
    ByteBuffer sample = ByteBuffer.allocate((int) Math.min(SAMPLE_BYTES, entry.bytes()));
    tensors.readBytes(TENSOR, 0, sample);
    fingerprint.add(sample);
    tensors.readBytes(TENSOR, entry.bytes() - sample.capacity(), sample);
    fingerprint.add(sample);
  }

  @Override
  public int dIn() {
    return dIn;
  }

  @Override
  public String description() {
    return description;
  }

  @Override
  public OptionalLong rowsAtMost(long enough) {
    return OptionalLong.of(rows);
  }

  @Override
  public ActivationReader open(long position) {
    return new Reader(position);
  }

  private final class Reader extends RowReader {
    private int current = -1;
    private long ahead;
    private @Nullable Safetensors open;

    Reader(long position) {
      super(rows, position);
    }

    @Override
    protected void copy(long first, int count, ActivationBatch into) throws IOException {
      try (DeviceBuffer.Loan loan = into.buffer().lend()) {
        copy(first, count, loan.floats().position(into.rows() * dIn));
      }
    }

    private void copy(long first, int count, FloatBuffer target) throws IOException {
      long row = first;
      while (row < first + count) {
        int number = find(row);
        Shard shard = shards.get(number);
        Safetensors tensors = openShard(number);
        int here = (int) Math.min(first + count - row, shard.firstRow() + shard.rows() - row);
        target.limit(target.position() + here * dIn);
        long element = (row - shard.firstRow()) * dIn;
        readAhead(tensors, element);
        tensors.readFloats(TENSOR, element, target);
        target.position(target.limit());
        row += here;
      }
    }

    @Override
    public int read(ActivationBatch into, RowOrigins origins) throws IOException {
      long first = position();
      int count = read(into);
      for (long row = first; row < first + count; ) {
        int number = find(row);
        Shard shard = shards.get(number);
        int here = (int) Math.min(first + count - row, shard.firstRow() + shard.rows() - row);
        Safetensors tensors = openShard(number);
        if (tensors.entries().containsKey(ShardBuffer.SEQUENCE)) {
          int[] sequences = ints(tensors, ShardBuffer.SEQUENCE, row - shard.firstRow(), here);
          int[] positions = ints(tensors, ShardBuffer.POSITION, row - shard.firstRow(), here);
          int[] tokens = ints(tensors, ShardBuffer.TOKEN, row - shard.firstRow(), here);
          for (int i = 0; i < here; i++) {
            origins.add(sequences[i], positions[i], tokens[i]);
          }
        }
        row += here;
      }
      return count;
    }

    private static int[] ints(Safetensors tensors, String name, long first, int count)
        throws IOException {
      int[] values = new int[count];
      tensors.readInts(name, first, IntBuffer.wrap(values));
      return values;
    }

    private void readAhead(Safetensors tensors, long element) throws IOException {
      Entry entry = tensors.entry(TENSOR);
      long at = element * entry.dtype().bytes();
      ahead = Math.max(ahead, at);
      while (ahead < Math.min(entry.bytes(), at + 2 * AHEAD_BYTES)) {
        long from = ahead;
        READ_AHEAD.execute(() -> tensors.load(TENSOR, from, AHEAD_BYTES));
        ahead += AHEAD_BYTES;
      }
    }

    private int find(long row) {
      int number = Math.max(current, 0);
      while (row < shards.get(number).firstRow()) {
        number--;
      }
      while (row >= shards.get(number).firstRow() + shards.get(number).rows()) {
        number++;
      }
      return number;
    }

    private Safetensors openShard(int number) throws IOException {
      Safetensors tensors = open;
      if (tensors == null || number != current) {
        close();
        verify(shards.get(number).file());
        tensors = Safetensors.open(shards.get(number).file());
        open = tensors;
        current = number;
        ahead = 0;
      }
      return tensors;
    }

    @Override
    public void close() {
      if (open != null) {
        open.close();
        open = null;
      }
    }
  }
}
