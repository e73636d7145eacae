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
 * The batches of those members of a {@link TrainingLoop} that see the same rows in the same order,
 * prepared the same way: each is gathered and uploaded once for all of them. Two buffers take
 * turns, so that the next batch is on its way while a step runs. Rows that lie on the device are
 * gathered there. With several backends a feed is for one of them, and hands out its share of each
 * batch.
 */
final class BatchFeed implements AutoCloseable {

  /** What two members have in common when one feed serves both. */
  record Recipe(long seed, SaeConfig.Normalization normalization, double scale) {}

  private final Recipe recipe;
  private final Backend backend;
  private final RowBuffer buffer;
  private final int batch;
  private final int first;
  private final int rows;
  private final int dIn;
  private final @Nullable ActivationBatch[] batches = new ActivationBatch[2];
  private @Nullable DeviceBuffer numbers; // of the rows in their order; on the device alone
  private final RowNormalizer.Undo unused = new RowNormalizer.Undo();
  private int[] order = new int[0];
  private int current;

  /**
   * Allocates its memory.
   *
   * @param backend whose memory they are in
   * @param buffer whose rows it hands out; what is on the device is not normalised
   * @param batch rows of a batch
   * @param first of the share
   * @param rows of the share
   */
  BatchFeed(Recipe recipe, Backend backend, RowBuffer buffer, int batch, int first, int rows) {
    this.recipe = recipe;
    this.backend = backend;
    this.buffer = buffer;
    this.batch = batch;
    this.first = first;
    this.rows = rows;
    this.dIn = buffer.batch().dIn();
    try {
      for (int i = 0; i < batches.length; i++) {
        batches[i] =
            buffer.onDevice()
                ? ActivationBatch.allocateOnDevice(backend, rows, dIn)
                : ActivationBatch.allocate(backend, rows, dIn);
      }
      if (buffer.onDevice()) {
        numbers = backend.allocate((long) buffer.batch().capacity() * Integer.BYTES);
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  Recipe recipe() {
    return recipe;
  }

  Backend backend() {
    return backend;
  }

  /** Draws the order of a new fill. */
  void shuffle() {
    order = buffer.order(recipe.seed());
    if (numbers != null) {
      try (DeviceBuffer.Loan loan = numbers.lend()) {
        loan.ints().put(0, order);
      }
      numbers.upload((long) order.length * Integer.BYTES);
    }
  }

  /** The batch that was loaded last. Valid until the next but one is loaded. */
  ActivationBatch current() {
    return Objects.requireNonNull(batches[current]);
  }

  /** The batch that was loaded before {@link #current}; valid as long. */
  ActivationBatch before() {
    return Objects.requireNonNull(batches[1 - current]);
  }

  /**
   * Gathers batch {@code number} of the fill into the buffer whose turn it is, and starts its
   * upload. The step on that buffer's last batch must be done; one on the other may still run.
   */
  void load(int number) {
    current = 1 - current;
    ActivationBatch share = current();
    share.rows(rows);
    int at = number * batch + first;
    if (numbers == null) {
      try (DeviceBuffer.Loan from = buffer.batch().buffer().lend();
          DeviceBuffer.Loan into = share.buffer().lend()) {
        gather(at, from.floats(), into.floats());
      }
      share.buffer().upload((long) rows * dIn * Float.BYTES);
    } else {
      backend.gatherRows(
          buffer.batch().buffer(),
          buffer.rows(),
          dIn,
          numbers,
          at,
          rows,
          recipe.scale(),
          share.buffer());
    }
  }

  private void gather(int at, FloatBuffer from, FloatBuffer into) {
    for (int r = 0; r < rows; r++) {
      into.put(r * dIn, from, order[at + r] * dIn, dIn);
    }
    RowNormalizer.apply(recipe.normalization(), into, into, rows, dIn, unused);
    if (recipe.scale() != 1) {
      for (int i = 0; i < rows * dIn; i++) {
        into.put(i, (float) (into.get(i) * recipe.scale()));
      }
    }
  }

  @Override
  public void close() {
    for (ActivationBatch batch : batches) {
      if (batch != null) {
        batch.close();
      }
    }
    if (numbers != null) {
      numbers.close();
    }
  }
}
