package io.faithfulsae.io;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A safetensors file, memory-mapped in windows, so it may be larger than 2 GiB and larger than
 * memory.
 *
 * <p>The header is checked when the file is opened: every tensor is inside the file, its size
 * matches its shape and type, and no two overlap. <b>Closed by</b> whoever opened it; the mapping
 * itself is released by garbage collection. <b>Threads</b>: reads may run in parallel.
 */
public final class Safetensors implements AutoCloseable {
  /**
   * Bytes of one mapped window; a multiple of every element size, so that no element straddles two
   * windows.
   */
  static final long WINDOW = 1L << 30;

  private final Path file;
  private final FileChannel channel;
  private final SafetensorsHeader header;
  private final Map<String, MappedByteBuffer[]> windows = new HashMap<>();
  private volatile boolean closed;

  /** Element types, in the order in which the format's writers store tensors. */
  public enum DType {
    /** Unsigned 64-bit integer. */
    U64(8),
    /** Signed 64-bit integer. */
    I64(8),
    /** IEEE double. */
    F64(8),
    /** IEEE single. */
    F32(4),
    /** Unsigned 32-bit integer. */
    U32(4),
    /** Signed 32-bit integer. */
    I32(4),
    /** The upper half of an IEEE single. */
    BF16(2),
    /** IEEE half. */
    F16(2),
    /** Unsigned 16-bit integer. */
    U16(2),
    /** Signed 16-bit integer. */
    I16(2),
    /** Signed byte. */
    I8(1),
    /** Unsigned byte. */
    U8(1),
    /** One byte, 0 or 1. */
    BOOL(1);

    private final int bytes;

    DType(int bytes) {
      this.bytes = bytes;
    }

    /** Bytes of one element. */
    public int bytes() {
      return bytes;
    }

    /**
     * Appends what remains of {@code from}, in its byte order, to {@code to}: each element as the
     * nearest float. Not for unsigned integers of more than 8 bits.
     */
    public void widen(ByteBuffer from, FloatBuffer to) {
      Widening.widen(this, from, to);
    }
  }

  /**
   * Where a tensor is stored.
   *
   * @param name its name
   * @param dtype its element type
   * @param shape its shape; empty for a scalar
   * @param offset of its first byte, from the start of the file
   * @param bytes its size
   */
  public record Entry(String name, DType dtype, List<Long> shape, long offset, long bytes) {
    /** Number of elements. */
    public long elements() {
      return bytes / dtype.bytes();
    }

    /** Size of a dimension. */
    public long dim(int axis) {
      return shape.get(axis);
    }
  }

  /** Produces a tensor's elements, a chunk at a time and in order. */
  @FunctionalInterface
  public interface Data {
    /**
     * Fills the whole of {@code chunk} (direct, little-endian) with the elements starting at number
     * {@code first}.
     */
    void fill(long first, ByteBuffer chunk) throws IOException;
  }

  /** A tensor to be written. */
  public record Tensor(String name, DType dtype, List<Long> shape, Data data) {

    /**
     * A float32 tensor in memory; {@code values} is read from its position, which is not changed.
     */
    public static Tensor ofFloats(String name, FloatBuffer values, long... shape) {
      return new Tensor(
          name,
          DType.F32,
          Arrays.stream(shape).boxed().toList(),
          (first, chunk) -> {
            FloatBuffer target = chunk.asFloatBuffer();
            target.put(values.slice(values.position() + (int) first, target.remaining()));
          });
    }

    /**
     * An int32 tensor in memory; {@code values} is read from its position, which is not changed.
     */
    public static Tensor ofInts(String name, IntBuffer values, long... shape) {
      return new Tensor(
          name,
          DType.I32,
          Arrays.stream(shape).boxed().toList(),
          (first, chunk) -> {
            IntBuffer target = chunk.asIntBuffer();
            target.put(values.slice(values.position() + (int) first, target.remaining()));
          });
    }
  }

  private Safetensors(Path file, FileChannel channel, SafetensorsHeader header) {
    this.file = file;
    this.channel = channel;
    this.header = header;
  }

  /**
   * Opens a file and checks its header.
   *
   * @throws java.nio.file.NoSuchFileException if there is no such file
   * @throws SaeFormatException if it is not a safetensors file, truncated, or not a regular file
   */
  public static Safetensors open(Path file) throws IOException {
    FileChannel channel = FileChannel.open(RegularFile.require(file), StandardOpenOption.READ);
    try {
      return new Safetensors(file, channel, SafetensorsHeader.read(file, channel));
    } catch (IOException | RuntimeException e) {
      channel.close();
      throw e;
    }
  }

  /**
   * Writes a file atomically; tensors are sorted by type, widest first, then by name.
   *
   * @return the checksum of the whole file, as {@link Checksum#of} computes it
   */
  public static String write(Path file, Map<String, String> metadata, List<Tensor> tensors)
      throws IOException {
    Checksum sum = new Checksum();
    AtomicFile.write(file, channel -> SafetensorsWriter.write(channel, metadata, tensors, sum));
    return sum.hex();
  }

  /** As {@link #write}, with a checksum in the metadata for {@link #verify}. */
  public static void writeChecked(Path file, Map<String, String> metadata, List<Tensor> tensors)
      throws IOException {
    AtomicFile.write(file, channel -> SafetensorsWriter.writeChecked(channel, metadata, tensors));
  }

  /**
   * Reads the whole file and verifies the checksum written by {@link #writeChecked}.
   *
   * @throws SaeFormatException if it is not the file that was written
   */
  public void verify() throws IOException {
    Checksum.checkOwn(file, header.metadata().getOrDefault(Checksum.KEY, "none"));
  }

  /** The tensors by name, in the order of the header. */
  public Map<String, Entry> entries() {
    return header.entries();
  }

  /** The free-form metadata; empty if there is none. */
  public Map<String, String> metadata() {
    return header.metadata();
  }

  /**
   * A tensor's entry.
   *
   * @throws SaeFormatException if there is no such tensor; the message lists the existing ones
   */
  public Entry entry(String name) throws SaeFormatException {
    Entry entry = header.entries().get(name);
    if (entry == null) {
      throw new SaeFormatException(
          file,
          name,
          Expected.message(
              "a tensor of this name",
              header.entries().keySet(),
              "check which program wrote the file"));
    }
    return entry;
  }

  /**
   * Reads elements of an F32, F16, BF16 or F64 tensor as float32.
   *
   * @param first number of the first element
   * @param into filled from its position to its limit; its position is not changed
   */
  public void readFloats(String name, long first, FloatBuffer into) throws IOException {
    Entry entry = entry(name);
    checkRange(entry, first, into.remaining());
    FloatBuffer target = into.duplicate();
    forEachPiece(
        entry,
        first,
        into.remaining(),
        piece -> {
          switch (entry.dtype()) {
            case F32, F16, BF16, F64 -> entry.dtype().widen(piece, target);
            default -> throw wrongType(entry, "F32, F16, BF16 or F64");
          }
        });
  }

  /**
   * Reads elements of an I32 or I64 tensor; values that do not fit in 32 bits are an error.
   * Otherwise as {@link #readFloats}.
   */
  public void readInts(String name, long first, IntBuffer into) throws IOException {
    Entry entry = entry(name);
    checkRange(entry, first, into.remaining());
    IntBuffer target = into.duplicate();
    forEachPiece(
        entry,
        first,
        into.remaining(),
        piece -> {
          switch (entry.dtype()) {
            case I32 -> target.put(piece.asIntBuffer());
            case I64 -> {
              while (piece.hasRemaining()) {
                target.put(toInt(entry, piece.getLong()));
              }
            }
            default -> throw wrongType(entry, "I32 or I64");
          }
        });
  }

  private int toInt(Entry entry, long value) throws SaeFormatException {
    if (value != (int) value) {
      throw new SaeFormatException(
          file, entry.name(), Expected.message("values of 32 bits", value, "use smaller ones"));
    }
    return (int) value;
  }

  /**
   * Reads a tensor's raw bytes, {@code firstByte} counted within it; the position of {@code into}
   * is not changed.
   */
  public void readBytes(String name, long firstByte, ByteBuffer into) throws IOException {
    Entry entry = entry(name);
    if (firstByte < 0 || firstByte + into.remaining() > entry.bytes()) {
      throw new IllegalArgumentException(
          Expected.message(
              "bytes in [0, " + entry.bytes() + ") of " + name,
              "[" + firstByte + ", " + (firstByte + into.remaining()) + ")",
              "read within the tensor"));
    }
    ByteBuffer target = into.duplicate();
    Entry asBytes = new Entry(name, DType.U8, entry.shape(), entry.offset(), entry.bytes());
    forEachPiece(asBytes, firstByte, into.remaining(), target::put);
  }

  /**
   * Prefetches bytes of a tensor, so that reading them need not wait for the disk; does nothing
   * once the file is closed.
   *
   * @param firstByte counted within the tensor
   */
  public void load(String name, long firstByte, long count) {
    try {
      Entry entry = entry(name);
      long end = Math.min(firstByte + count, entry.bytes());
      for (long at = firstByte; at < end; ) {
        int from = (int) (at % WINDOW);
        int length = (int) Math.min(end - at, WINDOW - from);
        window(entry, (int) (at / WINDOW)).slice(from, length).load();
        at += length;
      }
    } catch (IOException | IllegalStateException e) {
      System.getLogger(Safetensors.class.getName())
          .log(System.Logger.Level.DEBUG, "reading ahead in " + file, e);
    }
  }

  @Override
  public void close() {
    closed = true;
    windows.clear();
    try {
      channel.close();
    } catch (IOException e) {
      System.getLogger(Safetensors.class.getName())
          .log(System.Logger.Level.WARNING, "closing " + file, e);
    }
  }

  private interface Piece {
    void accept(ByteBuffer piece) throws IOException;
  }

  private void forEachPiece(Entry entry, long first, long count, Piece piece) throws IOException {
    int size = entry.dtype().bytes();
    long at = first * size;
    long end = at + count * size;
    requireStillThere(entry, end);
    while (at < end) {
      int window = (int) (at / WINDOW);
      int from = (int) (at % WINDOW);
      int length = (int) Math.min(end - at, WINDOW - from);
      piece.accept(window(entry, window).slice(from, length).order(ByteOrder.LITTLE_ENDIAN));
      at += length;
    }
  }

  /** A mapped file that has become shorter would end in an error of the virtual machine. */
  private void requireStillThere(Entry entry, long end) throws IOException {
    if (channel.isOpen() && channel.size() < entry.offset() + end) {
      throw new SaeFormatException(
          file,
          entry.name(),
          Expected.message(
              "at least " + (entry.offset() + end) + " bytes, as when the file was opened",
              channel.size(),
              "leave files as they are while they are read"));
    }
  }

  private synchronized MappedByteBuffer window(Entry entry, int number) throws IOException {
    if (closed) {
      throw new IllegalStateException(
          Expected.message(file + " to be open", "it closed", "close it after the last read"));
    }
    int count = (int) ((entry.bytes() + WINDOW - 1) / WINDOW);
    MappedByteBuffer[] mapped =
        windows.computeIfAbsent(entry.name(), n -> new MappedByteBuffer[count]);
    if (mapped[number] == null) {
      long from = number * WINDOW;
      long length = Math.min(WINDOW, entry.bytes() - from);
      mapped[number] = channel.map(FileChannel.MapMode.READ_ONLY, entry.offset() + from, length);
    }
    return mapped[number];
  }

  private void checkRange(Entry entry, long first, long count) {
    if (first < 0 || first + count > entry.elements()) {
      throw new IllegalArgumentException(
          Expected.message(
              "elements in [0, " + entry.elements() + ") of " + entry.name(),
              "[" + first + ", " + (first + count) + ")",
              "read within the tensor"));
    }
  }

  private SaeFormatException wrongType(Entry entry, String expected) {
    return new SaeFormatException(
        file,
        entry.name(),
        Expected.message("dtype " + expected, entry.dtype(), "convert the tensor"));
  }
}
