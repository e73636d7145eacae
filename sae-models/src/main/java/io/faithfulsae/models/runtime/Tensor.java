package io.faithfulsae.models.runtime;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Memory as a graph sees it: its location, element type and row-major shape. It belongs to the host
 * or to a backend; the host may be unable to address a backend's memory.
 */
public final class Tensor {
  private final @Nullable Buffer host;
  private final @Nullable DeviceBuffer device;
  private final long offset;
  private final Type type;
  private final long[] shape;

  /** Element types. */
  public enum Type {
    /** float32. */
    FLOAT32(4),
    /** float64. */
    FLOAT64(8),
    /** float16. */
    FLOAT16(2),
    /** bfloat16. */
    BFLOAT16(2),
    /** int32. */
    INT32(4),
    /** int64. */
    INT64(8);

    private final int bytes;

    Type(int bytes) {
      this.bytes = bytes;
    }

    /** Bytes per element. */
    public int bytes() {
      return bytes;
    }
  }

  private Tensor(
      @Nullable Buffer host, @Nullable DeviceBuffer device, long offset, Type type, long... shape) {
    this.host = host;
    this.device = device;
    this.offset = offset;
    this.type = type;
    this.shape = shape;
  }

  /**
   * A tensor of host floats.
   *
   * @param data direct, in native order; the tensor starts at its position and uses its memory
   * @throws IllegalArgumentException if the data cannot be used in place or is smaller than the
   *     shape
   */
  public static Tensor of(FloatBuffer data, long... shape) {
    int size = elements(data, data.order(), shape);
    return host(data.slice(data.position(), size), Type.FLOAT32, shape);
  }

  /** As {@link #of(FloatBuffer, long...)}. */
  public static Tensor of(DoubleBuffer data, long... shape) {
    int size = elements(data, data.order(), shape);
    return host(data.slice(data.position(), size), Type.FLOAT64, shape);
  }

  /** As {@link #of(FloatBuffer, long...)}. */
  public static Tensor of(IntBuffer data, long... shape) {
    int size = elements(data, data.order(), shape);
    return host(data.slice(data.position(), size), Type.INT32, shape);
  }

  /** As {@link #of(FloatBuffer, long...)}. */
  public static Tensor of(LongBuffer data, long... shape) {
    int size = elements(data, data.order(), shape);
    return host(data.slice(data.position(), size), Type.INT64, shape);
  }

  /**
   * A tensor in backend memory.
   *
   * @param offset in bytes, from the buffer's start
   * @throws IllegalArgumentException if the shape does not fit into the buffer
   */
  public static Tensor of(DeviceBuffer data, long offset, Type type, long... shape) {
    long bytes = Math.multiplyExact(product(shape), type.bytes());
    if (offset < 0 || offset + bytes > data.bytes()) {
      throw new IllegalArgumentException(
          Expected.message(
              "room for "
                  + Arrays.toString(shape)
                  + " "
                  + type
                  + " = "
                  + bytes
                  + " bytes at offset "
                  + offset,
              "a buffer of " + data.bytes(),
              "allocate a larger one"));
    }
    return new Tensor(null, data, offset, type, shape.clone());
  }

  private static Tensor host(Buffer data, Type type, long... shape) {
    return new Tensor(data, null, 0, type, shape.clone());
  }

  private static int elements(Buffer data, ByteOrder order, long... shape) {
    long size = product(shape);
    if (!data.isDirect() || order != ByteOrder.nativeOrder() || data.remaining() < size) {
      throw new IllegalArgumentException(
          Expected.message(
              "a direct buffer in native order with "
                  + size
                  + " elements for "
                  + Arrays.toString(shape),
              data,
              "allocate it with ByteBuffer.allocateDirect"));
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

  /**
   * The elements as the host sees them, from position 0 to the limit: a buffer of their type, or of
   * bytes for 16-bit floats.
   *
   * @throws UnsupportedOperationException if the host cannot address them
   */
  public Buffer host() {
    if (host != null) {
      return host;
    }
    ByteBuffer all = buffer().host();
    ByteBuffer part =
        all.slice(Math.toIntExact(offset), Math.toIntExact(bytes())).order(ByteOrder.nativeOrder());
    return switch (type) {
      case FLOAT32 -> part.asFloatBuffer();
      case FLOAT64 -> part.asDoubleBuffer();
      case INT32 -> part.asIntBuffer();
      case INT64 -> part.asLongBuffer();
      case FLOAT16, BFLOAT16 -> part;
    };
  }

  /** Whether the memory is a backend's; {@link #lend()} gives its address. */
  public boolean ofBackend() {
    return device != null;
  }

  /** Whether the memory is on the device, where the host cannot address it. */
  public boolean onDevice() {
    return device != null && device.onDevice();
  }

  /**
   * Lends a backend's memory while it is bound: it remains valid even if the buffer is closed in
   * the meantime. The tensor starts {@link #offset()} bytes into it. <b>Closed by</b> the caller.
   */
  public DeviceBuffer.Loan lend() {
    return buffer().lend();
  }

  /** Offset of the tensor in backend memory, in bytes. */
  public long offset() {
    return offset;
  }

  private DeviceBuffer buffer() {
    if (device == null) {
      throw new IllegalStateException(
          Expected.message("backend memory", "a host buffer", "check ofBackend() first"));
    }
    return device;
  }

  /** The element type. */
  public Type type() {
    return type;
  }

  /** A copy of the shape. */
  public long[] shape() {
    return shape.clone();
  }

  /** Total bytes. */
  public long bytes() {
    return product(shape) * type.bytes();
  }
}
