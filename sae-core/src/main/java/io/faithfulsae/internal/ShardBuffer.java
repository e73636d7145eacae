package io.faithfulsae.internal;

import io.faithfulsae.RowOrigins;
import io.faithfulsae.ShardWriter.Precision;
import io.faithfulsae.internal.Safetensors.DType;
import io.faithfulsae.internal.Safetensors.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** The rows of one shard before it is written, as they will lie in the file. */
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

  /** An empty one. */
  public ShardBuffer(Precision precision, int capacity, int dIn) {
    this.precision = precision;
    this.capacity = capacity;
    this.dIn = dIn;
    long bytes = (long) capacity * dIn * precision.bytes();
    this.activations =
        ByteBuffer.allocateDirect(Math.toIntExact(bytes)).order(ByteOrder.LITTLE_ENDIAN);
    this.sequences = IntBuffer.allocate(capacity);
    this.positions = IntBuffer.allocate(capacity);
    this.tokens = IntBuffer.allocate(capacity);
  }

  /** Bytes of a row in a file, with where it comes from. */
  public static long rowBytes(Precision precision, int dIn) {
    return (long) dIn * precision.bytes() + 3 * Integer.BYTES;
  }

  /** How a file has a precision. */
  static DType type(Precision precision) {
    return precision == Precision.FP32 ? DType.F32 : DType.BF16;
  }

  /** Rows in it. */
  public int rows() {
    return rows;
  }

  /** Rows that it has room for. */
  public int free() {
    return capacity - rows;
  }

  /**
   * The largest magnitude that a precision holds; what is beyond it would be stored as infinity.
   */
  static float largest(Precision precision) {
    return precision == Precision.FP32 ? Float.MAX_VALUE : Float.intBitsToFloat(0x7f7f7fff);
  }

  /**
   * Appends rows.
   *
   * @param values <b>Shape</b> {@code [n, dIn]}
   * @param origins of the n rows, or empty; the same of these always
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
   * Writes the rows as a file, beside and renamed.
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

  /** Forgets the rows. */
  public void clear() {
    rows = 0;
    sequences.clear();
    positions.clear();
    tokens.clear();
  }
}
