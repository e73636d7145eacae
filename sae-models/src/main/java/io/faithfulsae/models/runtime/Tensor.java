package io.faithfulsae.models.runtime;

import java.nio.Buffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.Arrays;

/** Memory as a graph sees it: where it is, what its elements are, and its shape, row-major. */
public final class Tensor {
  private final Buffer host;
  private final Type type;
  private final long[] shape;

  /** Types of elements. */
  public enum Type {
    /** float32. */
    FLOAT32(4),
    /** int64. */
    INT64(8);

    private final int bytes;

    Type(int bytes) {
      this.bytes = bytes;
    }

    /** Bytes an element. */
    public int bytes() {
      return bytes;
    }
  }

  private Tensor(Buffer host, Type type, long[] shape) {
    this.host = host;
    this.type = type;
    this.shape = shape;
  }

  /**
   * Floats of the host.
   *
   * @param data direct, in native order; the tensor is its memory from its position on
   * @throws IllegalArgumentException if the data cannot be computed on where it lies, or is shorter
   *     than the shape
   */
  public static Tensor of(FloatBuffer data, long... shape) {
    int size = elements(data, data.order(), shape);
    return new Tensor(data.slice(data.position(), size), Type.FLOAT32, shape.clone());
  }

  /** As {@link #of(FloatBuffer, long...)}. */
  public static Tensor of(LongBuffer data, long... shape) {
    int size = elements(data, data.order(), shape);
    return new Tensor(data.slice(data.position(), size), Type.INT64, shape.clone());
  }

  private static int elements(Buffer data, ByteOrder order, long... shape) {
    long size = product(shape);
    if (!data.isDirect() || order != ByteOrder.nativeOrder() || data.remaining() < size) {
      throw new IllegalArgumentException(
          "expected a direct buffer in native order with "
              + size
              + " elements for "
              + Arrays.toString(shape)
              + ", got "
              + data
              + "; mend: allocate it with ByteBuffer.allocateDirect");
    }
    return (int) size;
  }

  private static long product(long... shape) {
    long size = 1;
    for (long dim : shape) {
      size = Math.multiplyExact(size, dim);
    }
    return size;
  }

  /** Where the elements lie, from position 0 to the limit. */
  public Buffer host() {
    return host;
  }

  /** What the elements are. */
  public Type type() {
    return type;
  }

  /** A copy of the shape. */
  public long[] shape() {
    return shape.clone();
  }

  /** Bytes of all elements. */
  public long bytes() {
    return product(shape) * type.bytes();
  }
}
