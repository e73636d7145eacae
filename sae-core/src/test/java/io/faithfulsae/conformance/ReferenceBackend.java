package io.faithfulsae.conformance;

import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.SaeShape;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * The readable definition of every operation of {@link Backend}: plain Java, sums in double
 * precision, float32 wherever the contract stores a value. For tests only: it is slow.
 */
public final class ReferenceBackend implements Backend {
  private final List<Resource> open = new ArrayList<>();
  private boolean closed;

  /** An object created from this backend: counted while open, closed with it. */
  abstract static class Resource implements AutoCloseable {
    final ReferenceBackend backend;
    private final long bytes;
    private boolean closed;

    Resource(ReferenceBackend backend, long bytes) {
      backend.requireOpen();
      this.backend = backend;
      this.bytes = bytes;
      backend.open.add(this);
    }

    final void requireOpen() {
      if (closed) {
        throw new IllegalStateException(getClass().getSimpleName() + " was used after close");
      }
    }

    @Override
    public void close() {
      synchronized (backend) {
        closed = true;
        backend.open.remove(this);
      }
    }
  }

  /** Memory is an ordinary direct buffer. */
  private static final class Memory extends Resource implements DeviceBuffer {
    private final ByteBuffer data;

    Memory(ReferenceBackend backend, long bytes) {
      super(backend, bytes);
      ByteBuffer block = ByteBuffer.allocateDirect(Math.toIntExact(bytes + 128));
      this.data = block.alignedSlice(64).slice(0, (int) bytes);
    }

    @Override
    public long bytes() {
      return data.capacity();
    }

    @Override
    public ByteBuffer host() {
      requireOpen();
      return data.duplicate().order(ByteOrder.nativeOrder());
    }
  }

  @Override
  public Info info() {
    return new Info("reference", "Java, double precision", "{\"backend\":\"reference\"}");
  }

  @Override
  public synchronized DeviceBuffer allocate(long bytes) {
    requireOpen();
    BackendChecks.bytes(bytes);
    return new Memory(this, bytes);
  }

  @Override
  public synchronized BackendSae createSae(SaeShape shape) {
    requireOpen();
    return new ReferenceSae(this, shape);
  }

  @Override
  public synchronized void matmulTransposed(
      DeviceBuffer a, int m, DeviceBuffer b, int n, int inner, DeviceBuffer c) {
    requireOpen();
    BackendChecks.atLeastOne("m", m);
    BackendChecks.atLeastOne("n", n);
    BackendChecks.atLeastOne("inner", inner);
    FloatBuffer left = floats("a", a, m, inner);
    FloatBuffer right = floats("b", b, n, inner);
    FloatBuffer out = floats("c", c, m, n);
    BackendChecks.distinct("c", c, a, b);
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < n; j++) {
        double sum = 0;
        for (int t = 0; t < inner; t++) {
          sum += (double) left.get(i * inner + t) * right.get(j * inner + t);
        }
        out.put(i * n + j, (float) sum);
      }
    }
  }

  @Override
  public synchronized void gatherRows(
      DeviceBuffer from,
      int fromRows,
      int columns,
      DeviceBuffer rows,
      int first,
      int count,
      double factor,
      DeviceBuffer into) {
    requireOpen();
    BackendChecks.gather(fromRows, columns, first, count);
    FloatBuffer source = floats("from", from, fromRows, columns);
    IntBuffer numbers = memory("rows", rows, 1, first + count).asIntBuffer();
    FloatBuffer target = floats("into", into, count, columns);
    BackendChecks.distinct("into", into, from, rows);
    for (int i = 0; i < count; i++) {
      int row = numbers.get(first + i);
      for (int j = 0; j < columns; j++) {
        boolean there = row >= 0 && row < fromRows;
        target.put(
            i * columns + j, there ? (float) (source.get(row * columns + j) * factor) : Float.NaN);
      }
    }
  }

  @Override
  public synchronized void synchronize() {
    requireOpen();
  }

  @Override
  public synchronized long liveBytes() {
    requireOpen();
    return open.stream().mapToLong(r -> r.bytes).sum();
  }

  @Override
  public synchronized void close() {
    while (!open.isEmpty()) {
      open.get(open.size() - 1).close();
    }
    closed = true;
  }

  /**
   * A buffer's host view, after checking that it belongs to this backend, is open and large enough.
   */
  ByteBuffer memory(String name, DeviceBuffer buffer, int rows, int columns) {
    if (!(buffer instanceof Memory memory) || memory.backend != this) {
      throw new IllegalArgumentException(
          "expected "
              + name
              + " in a buffer of this backend, got one of another; allocate it here");
    }
    ByteBuffer view = memory.host();
    BackendChecks.holds(name, buffer, rows, columns);
    return view;
  }

  FloatBuffer floats(String name, DeviceBuffer buffer, int rows, int columns) {
    return memory(name, buffer, rows, columns).asFloatBuffer();
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("ReferenceBackend was used after close");
    }
  }
}
