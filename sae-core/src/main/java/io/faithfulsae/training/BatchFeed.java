package io.faithfulsae.training;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.internal.RowBuffer;
import io.faithfulsae.internal.RowNormalizer;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.FloatBuffer;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Prepares the batches of the {@link TrainingLoop} members that use the same rows in the same order
 * with the same preprocessing: each batch is gathered and uploaded once for all of them. Two
 * buffers alternate, so that the next batch is uploaded while a step runs. Rows in device memory
 * are gathered on the device. With several backends, each has its own feed, which provides its
 * share of each batch.
 */
final class BatchFeed implements AutoCloseable {

  /**
   * Rows of a step.
   *
   * @param y what a transcoder should write; null: {@code x}
   */
  record Rows(ActivationBatch x, @Nullable ActivationBatch y) implements AutoCloseable {
    @Nullable DeviceBuffer target() {
      return y == null ? null : y.buffer();
    }

    @Override
    public void close() {
      x.close();
      if (y != null) {
        y.close();
      }
    }
  }

  /** The settings that members must share to use the same feed. */
  record Recipe(long seed, SaeConfig.Normalization normalization, double scale) {}

  private final Recipe recipe;
  private final Backend backend;
  private final RowBuffer buffer;
  private final int batch;
  private final int first;
  private final int rows;
  private final int width; // of the buffer's rows
  private final int dOut; // of their target, which follows the input; 0: they are their own
  private final @Nullable Rows[] batches = new Rows[2];
  private @Nullable DeviceBuffer numbers; // shuffled row indices; null if rows are on the host
  private final RowNormalizer.Undo unused = new RowNormalizer.Undo();
  private int[] order = new int[0];
  private int current;

  /**
   * * Allocates the buffers.
   *
   * @param backend allocates the batches
   * @param buffer source of the rows; rows on the device are not normalized
   * @param dOut width of the target at the end of each of its rows; 0 if there is none, and always
   *     for rows on the device
   * @param batch rows per batch
   * @param first first row of the share
   * @param rows number of rows in the share
   */
  BatchFeed(
      Recipe recipe, Backend backend, RowBuffer buffer, int dOut, int batch, int first, int rows) {
    this.recipe = recipe;
    this.backend = backend;
    this.buffer = buffer;
    this.batch = batch;
    this.first = first;
    this.rows = rows;
    this.width = buffer.batch().dIn();
    this.dOut = dOut;
    try {
      for (int i = 0; i < batches.length; i++) {
        batches[i] = allocate();
      }
      if (buffer.onDevice()) {
        numbers = backend.allocate((long) buffer.batch().capacity() * Integer.BYTES);
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  private Rows allocate() {
    if (buffer.onDevice()) {
      return new Rows(ActivationBatch.allocateOnDevice(backend, rows, width), null);
    }
    ActivationBatch x = ActivationBatch.allocate(backend, rows, width - dOut);
    try {
      return new Rows(x, dOut == 0 ? null : ActivationBatch.allocate(backend, rows, dOut));
    } catch (RuntimeException e) {
      x.close();
      throw e;
    }
  }

  Recipe recipe() {
    return recipe;
  }

  Backend backend() {
    return backend;
  }

  /** Shuffles the rows after a fill. */
  void shuffle() {
    order = buffer.order(recipe.seed());
    if (numbers != null) {
      try (DeviceBuffer.Loan loan = numbers.lend()) {
        loan.ints().put(0, order);
      }
      numbers.upload((long) order.length * Integer.BYTES);
    }
  }

  /** The batch loaded last. Valid until two more have been loaded. */
  Rows current() {
    return Objects.requireNonNull(batches[current]);
  }

  /** The batch loaded before {@link #current}. Valid until one more is loaded. */
  Rows before() {
    return Objects.requireNonNull(batches[1 - current]);
  }

  /**
   * Gathers batch {@code number} of the fill into the older of the two buffers and starts its
   * upload. The step that used that buffer must be complete; a step on the other one may still be
   * running.
   */
  void load(int number) {
    current = 1 - current;
    ActivationBatch share = current().x();
    share.rows(rows);
    int at = number * batch + first;
    if (numbers == null) {
      try (DeviceBuffer.Loan from = buffer.batch().buffer().lend();
          DeviceBuffer.Loan into = share.buffer().lend()) {
        gather(at, from.floats(), 0, share.dIn(), into.floats());
        prepare(share.dIn(), into.floats());
      }
      share.buffer().upload((long) rows * share.dIn() * Float.BYTES);
      loadTarget(at);
    } else {
      backend.gatherRows(
          buffer.batch().buffer(),
          buffer.rows(),
          width,
          numbers,
          at,
          rows,
          recipe.scale(),
          share.buffer());
    }
  }

  private void loadTarget(int at) {
    ActivationBatch target = current().y();
    if (target == null) {
      return;
    }
    target.rows(rows);
    try (DeviceBuffer.Loan from = buffer.batch().buffer().lend();
        DeviceBuffer.Loan into = target.buffer().lend()) {
      gather(at, from.floats(), width - dOut, dOut, into.floats());
    }
    target.buffer().upload((long) rows * dOut * Float.BYTES);
  }

  private void gather(int at, FloatBuffer from, int column, int columns, FloatBuffer into) {
    for (int r = 0; r < rows; r++) {
      into.put(r * columns, from, order[at + r] * width + column, columns);
    }
  }

  private void prepare(int dIn, FloatBuffer into) {
    RowNormalizer.apply(recipe.normalization(), into, into, rows, dIn, unused);
    if (recipe.scale() != 1) {
      for (int i = 0; i < rows * dIn; i++) {
        into.put(i, (float) (into.get(i) * recipe.scale()));
      }
    }
  }

  @Override
  public void close() {
    for (Rows batch : batches) {
      if (batch != null) {
        batch.close();
      }
    }
    if (numbers != null) {
      numbers.close();
    }
  }
}
