package io.faithfulsae.internal;

import io.faithfulsae.RowOrigins;
import io.faithfulsae.ShardIndex.Precision;
import io.faithfulsae.io.BFloat16;
import io.faithfulsae.io.Checksum;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.io.Safetensors.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** The rows of one shard before it is written, in the format of the file. */
public final class ShardBuffer {
  static final String ACTIVATIONS = "activations";
  static final String SEQUENCE = "sequence";
  static final String POSITION = "position";
  static final String TOKEN = "token";

  private final Precision precision;
  private final int capacity;
  private final int dIn;
  private final ByteBuffer activations;
  private final IntBuffer sequences;
  private final IntBuffer positions;
  private final IntBuffer tokens;
  private int rows;

  /** Creates an empty buffer. */
  public ShardBuffer(Precision precision, int capacity, int dIn) {
    this.precision = precision;
    this.capacity = capacity;
    this.dIn = dIn;
    long bytes = (long) capacity * dIn * precision.bytes();
    this.activations = DirectBuffers.bytes(bytes).order(ByteOrder.LITTLE_ENDIAN);
    this.sequences = IntBuffer.allocate(capacity);
    this.positions = IntBuffer.allocate(capacity);
    this.tokens = IntBuffer.allocate(capacity);
  }

  /** Bytes per row in a file, including its origin. */
  public static long rowBytes(Precision precision, int dIn) {
    return (long) dIn * precision.bytes() + 3 * Integer.BYTES;
  }

  /** The data type of a precision in a file. */
  static DType type(Precision precision) {
    return precision == Precision.FP32 ? DType.F32 : DType.BF16;
  }

  /** Number of rows. */
  public int rows() {
    return rows;
  }

  /** Number of rows that can still be added. */
  public int free() {
    return capacity - rows;
  }

  /** The largest magnitude that a precision can store; larger values would become infinity. */
  static float largest(Precision precision) {
    return precision == Precision.FP32 ? Float.MAX_VALUE : Float.intBitsToFloat(0x7f7f7fff);
  }

  /**
   * Appends rows.
   *
   * @param values <b>Shape</b> {@code [n, dIn]}
   * @param origins of the n rows, or empty, in every call alike
   */
  public void add(FloatBuffer values, RowOrigins origins) {
    int count = values.remaining() / dIn;
    ByteBuffer into =
        activations
            .slice(rows * dIn * precision.bytes(), count * dIn * precision.bytes())
            .order(ByteOrder.LITTLE_ENDIAN);
    switch (precision) {
      case FP32 -> into.asFloatBuffer().put(values);
      case BF16 -> BFloat16.round(values, into);
    }
    for (int i = 0; i < origins.size(); i++) {
      sequences.put(origins.sequence(i));
      positions.put(origins.position(i));
      tokens.put(origins.token(i));
    }
    rows += count;
  }

  /**
   * Reads a file that {@link #write} wrote into an empty buffer, bit for bit.
   *
   * @param checksum of the file, as the index has it
   * @throws SaeFormatException if it is damaged, or does not hold this many rows of this width
   */
  public void read(Path file, int count, String checksum) throws IOException {
    Checksum.check(file, checksum, "the index");
    try (Safetensors tensors = Safetensors.open(file)) {
      List<Long> shape = List.of((long) count, (long) dIn);
      Safetensors.Entry entry = tensors.entry(ACTIVATIONS);
      if (!entry.shape().equals(shape) || entry.dtype() != type(precision) || count > capacity) {
        throw new SaeFormatException(
            file,
            ACTIVATIONS,
            Expected.message(
                "%s %s as the index has it".formatted(type(precision), shape),
                "%s %s".formatted(entry.dtype(), entry.shape()),
                "write the shards anew"));
      }
      tensors.readBytes(ACTIVATIONS, 0, activations.slice(0, count * dIn * precision.bytes()));
      if (tensors.entries().containsKey(SEQUENCE)) {
        tensors.readInts(SEQUENCE, 0, sequences.slice(0, count));
        tensors.readInts(POSITION, 0, positions.slice(0, count));
        tensors.readInts(TOKEN, 0, tokens.slice(0, count));
        sequences.position(count);
        positions.position(count);
        tokens.position(count);
      }
      rows = count;
    }
  }

  /**
   * Writes the rows to a temporary file and renames it.
   *
   * @return the file's {@link Checksum}
   */
  public String write(Path file) throws IOException {
    DType type = type(precision);
    List<Tensor> tensors = new ArrayList<>();
    tensors.add(
        new Tensor(
            ACTIVATIONS,
            type,
            List.of((long) rows, (long) dIn),
            (first, chunk) ->
                chunk.put(activations.slice((int) first * type.bytes(), chunk.remaining()))));
    if (sequences.position() == rows) {
      tensors.add(Tensor.ofInts(SEQUENCE, sequences.duplicate().flip(), rows));
      tensors.add(Tensor.ofInts(POSITION, positions.duplicate().flip(), rows));
      tensors.add(Tensor.ofInts(TOKEN, tokens.duplicate().flip(), rows));
    }
    return Safetensors.write(file, Map.of(), tensors);
  }

  /** Removes all rows. */
  public void clear() {
    rows = 0;
    sequences.clear();
    positions.clear();
    tokens.clear();
  }
}
