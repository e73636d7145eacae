package io.faithfulsae.internal;

import io.faithfulsae.io.Safetensors;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleUnaryOperator;

/**
 * A tensor of floats in a file: a view of a storage, with strides as in PyTorch.
 *
 * @param name its name in the file
 * @param shape its shape; empty for a scalar
 * @param strides for each dimension, the elements of the storage from one index to the next
 * @param offset of its first element in the storage
 * @param storage the storage
 */
record StoredTensor(
    String name, List<Long> shape, List<Long> strides, long offset, Storage storage) {
  /** Elements read at once to pick those of a stride from. */
  private static final int SPAN = 1 << 20;

  /** A row of elements in a file. */
  @FunctionalInterface
  interface Storage {
    /** Fills {@code into}, whose position is not changed, with the elements from {@code first}. */
    void read(long first, FloatBuffer into) throws IOException;
  }

  /** A tensor of a safetensors file. */
  static StoredTensor of(Safetensors file, Safetensors.Entry entry) {
    return rowMajor(
        entry.name(), entry.shape(), (first, into) -> file.readFloats(entry.name(), first, into));
  }

  /** A tensor that is its whole storage, row-major. */
  static StoredTensor rowMajor(String name, List<Long> shape, Storage storage) {
    long[] strides = new long[shape.size()];
    long stride = 1;
    for (int axis = strides.length - 1; axis >= 0; axis--) {
      strides[axis] = stride;
      stride *= shape.get(axis);
    }
    return new StoredTensor(name, shape, Arrays.stream(strides).boxed().toList(), 0, storage);
  }

  /** A vector of one value. */
  static StoredTensor constant(String name, long elements, float value) {
    return rowMajor(
        name,
        List.of(elements),
        (first, into) -> {
          for (int i = into.position(); i < into.limit(); i++) {
            into.put(i, value);
          }
        });
  }

  /** The same under another name, with each element mapped as it is read. */
  StoredTensor mapped(String newName, DoubleUnaryOperator element) {
    return new StoredTensor(
        newName,
        shape,
        strides,
        offset,
        (first, into) -> {
          storage.read(first, into);
          for (int i = into.position(); i < into.limit(); i++) {
            into.put(i, (float) element.applyAsDouble(into.get(i)));
          }
        });
  }

  /** Number of elements. */
  long elements() {
    return shape.stream().reduce(1L, (a, b) -> a * b);
  }

  /** Reads elements [first, …) of a vector. */
  void readVector(long first, FloatBuffer into) throws IOException {
    if (into.hasRemaining()) {
      long stride = shape.isEmpty() ? 1 : strides.get(0);
      run(offset + first * stride, stride, into);
    }
  }

  /**
   * Reads rows of a matrix, or of its transpose, as [rows, width] from index 0 of {@code into}.
   *
   * @param rowAxis the dimension that numbers the rows: 0, or 1 for the transpose
   */
  void readRows(int rowAxis, long firstRow, int rows, FloatBuffer into) throws IOException {
    int width = Math.toIntExact(shape.get(1 - rowAxis));
    long down = strides.get(rowAxis);
    long along = strides.get(1 - rowAxis);
    long start = offset + firstRow * down;
    if (along == 1 && down == width) {
      run(start, 1, into.slice(0, rows * width));
    } else if (along <= down) {
      for (int row = 0; row < rows; row++) {
        run(start + row * down, along, into.slice(row * width, width));
      }
    } else {
      FloatBuffer column = FloatBuffer.allocate(rows);
      for (int i = 0; i < width; i++) {
        run(start + i * along, down, column);
        for (int row = 0; row < rows; row++) {
          into.put(row * width + i, column.get(row));
        }
      }
    }
  }

  private void run(long first, long stride, FloatBuffer into) throws IOException {
    if (stride == 1) {
      storage.read(first, into);
      return;
    }
    int count = into.remaining();
    int atOnce = (int) Math.max(1, Math.min(count, SPAN / Math.max(1, stride)));
    FloatBuffer span = FloatBuffer.allocate((int) Math.max(1, (atOnce - 1) * stride + 1));
    for (int done = 0; done < count; done += atOnce) {
      int n = Math.min(atOnce, count - done);
      span.limit((int) ((n - 1) * stride + 1));
      storage.read(first + done * stride, span);
      for (int i = 0; i < n; i++) {
        into.put(into.position() + done + i, span.get((int) (i * stride)));
      }
    }
  }
}
