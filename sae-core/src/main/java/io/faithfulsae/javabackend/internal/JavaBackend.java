package io.faithfulsae.javabackend.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.BackendException;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.SaeShape;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.concurrent.atomic.AtomicLong;

/** SAEs in Java's heap, and rows in direct buffers. Its monitor guards everything made from it. */
final class JavaBackend implements Backend {
  static final String NAME = "java";

  private static final AtomicLong MADE = new AtomicLong();

  /** Whoever needs the monitors of two backends takes that of the lower number first. */
  final long number = MADE.incrementAndGet();

  private final Deque<Resource> open = new ArrayDeque<>(); // newest first
  private final Workers workers;
  private final Info info;
  private boolean closed;

  JavaBackend(int threads) {
    this.workers = new Workers(threads);
    this.info = new Info(NAME, JavaBackendProvider.device(), details(threads));
  }

  /** Keys as those of the native backends. */
  private static String details(int threads) {
    return "{\"backend\":\"" + NAME + "\",\"threads\":" + threads + "}";
  }

  @Override
  public Info info() {
    return info;
  }

  Workers workers() {
    return workers;
  }

  @Override
  public synchronized DeviceBuffer allocate(long bytes) {
    requireOpen();
    BackendChecks.bytes(bytes);
    if (bytes > Integer.MAX_VALUE - 2 * JavaMemory.ALIGNMENT) {
      throw new BackendException(
          "allocate",
          NAME,
          Expected.message("a buffer below 2 GiB", bytes + " bytes", "use fewer rows at once"));
    }
    try {
      return new JavaMemory(this, (int) bytes);
    } catch (OutOfMemoryError e) {
      throw outOfMemory("allocate", e);
    }
  }

  static BackendException outOfMemory(String operation, OutOfMemoryError e) {
    return new BackendException(
        operation,
        NAME,
        Expected.message(
            "enough memory", e.getMessage(), "raise -Xmx (and -XX:MaxDirectMemorySize, if set)"));
  }

  @Override
  public synchronized BackendSae createSae(SaeShape shape) {
    requireOpen();
    try {
      return new JavaSae(this, shape);
    } catch (OutOfMemoryError e) {
      throw outOfMemory("createSae", e);
    }
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
    Matrix vectors = new Matrix(n, inner);
    vectors.write(0, right.slice(0, n * inner));
    new Panels(vectors.rows, inner, null)
        .pack(workers)
        .forEachRow(
            workers,
            m,
            row -> row(left, row, inner),
            (row, products) -> out.put(row * n, products));
  }

  /** A row of a matrix, with zeros at its end as {@link Panels} wants them. */
  static float[] row(FloatBuffer from, int row, int columns) {
    float[] into = new float[Panels.padded(columns)];
    from.get(row * columns, into, 0, columns);
    return into;
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
    IntBuffer numbers = ints("rows", rows, 1, first + count);
    FloatBuffer target = floats("into", into, count, columns);
    BackendChecks.distinct("into", into, from, rows);
    workers.forEachRange(
        count,
        256,
        (begin, end) -> {
          float[] copy = new float[columns];
          for (int i = begin; i < end; i++) {
            int row = numbers.get(first + i);
            if (row < 0 || row >= fromRows) {
              Arrays.fill(copy, Float.NaN);
            } else {
              source.get(row * columns, copy);
              for (int j = 0; factor != 1 && j < columns; j++) {
                copy[j] = (float) (copy[j] * factor);
              }
            }
            target.put(i * columns, copy);
          }
        });
  }

  @Override
  public synchronized void synchronize() {
    requireOpen();
  }

  @Override
  public synchronized long liveBytes() {
    requireOpen();
    return open.stream().mapToLong(Resource::ownBytes).sum();
  }

  @Override
  public synchronized void close() {
    while (!open.isEmpty()) {
      open.element().close();
    }
    closed = true;
    workers.close();
  }

  void add(Resource resource) {
    open.push(resource);
  }

  void remove(Resource resource) {
    open.remove(resource);
  }

  /** A buffer's memory, if it is this backend's, open and large enough. */
  private JavaMemory memory(String name, DeviceBuffer buffer, long rows, long columns) {
    if (!(buffer instanceof JavaMemory memory) || memory.backend != this) {
      throw new IllegalArgumentException(
          Expected.message(
              name + " in a buffer of this backend", "one of another", "allocate it here"));
    }
    memory.requireOpen();
    BackendChecks.holds(name, buffer, rows, columns);
    return memory;
  }

  FloatBuffer floats(String name, DeviceBuffer buffer, long rows, long columns) {
    return memory(name, buffer, rows, columns).floats();
  }

  IntBuffer ints(String name, DeviceBuffer buffer, long rows, long columns) {
    return memory(name, buffer, rows, columns).host().asIntBuffer();
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException(
          Expected.message("a backend that is open", "a closed one", "close it later"));
    }
  }
}
