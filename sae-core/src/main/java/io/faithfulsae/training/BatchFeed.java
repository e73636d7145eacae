package io.faithfulsae.training;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.internal.RowBuffer;
import io.faithfulsae.internal.RowNormalizer;
import io.faithfulsae.spi.Backend;
import java.nio.FloatBuffer;

/**
 * The batches of those members of a {@link TrainingLoop} that see the same rows in the same order,
 * prepared the same way: each is gathered and uploaded once for all of them. Two buffers take
 * turns, so that the next batch is on its way while a step runs.
 */
final class BatchFeed implements AutoCloseable {

  /** What two members have in common when one feed serves both. */
  record Recipe(long seed, SaeConfig.Normalization normalization, double scale) {}

  private final Recipe recipe;
  private final int rows;
  private final int dIn;
  private final ActivationBatch[] batches;
  private final RowNormalizer.Undo unused = new RowNormalizer.Undo();
  private int[] order = new int[0];
  private int current;

  BatchFeed(Recipe recipe, Backend backend, int rows, int dIn) {
    this.recipe = recipe;
    this.rows = rows;
    this.dIn = dIn;
    ActivationBatch first = ActivationBatch.allocate(backend, rows, dIn);
    try {
      this.batches = new ActivationBatch[] {first, ActivationBatch.allocate(backend, rows, dIn)};
    } catch (RuntimeException e) {
      first.close();
      throw e;
    }
  }

  Recipe recipe() {
    return recipe;
  }

  /** Draws the order of a new fill. */
  void shuffle(RowBuffer buffer) {
    order = buffer.order(recipe.seed());
  }

  /** The batch that was loaded last. Valid until the next but one is loaded. */
  ActivationBatch current() {
    return batches[current];
  }

  /**
   * Gathers batch {@code number} of the fill into the buffer whose turn it is, and starts its
   * upload. The step on that buffer's last batch must be done; one on the other may still run.
   */
  void load(RowBuffer buffer, int number) {
    current = 1 - current;
    ActivationBatch batch = batches[current];
    FloatBuffer from = buffer.data();
    FloatBuffer into = batch.data();
    for (int r = 0; r < rows; r++) {
      into.put(r * dIn, from, order[number * rows + r] * dIn, dIn);
    }
    RowNormalizer.apply(recipe.normalization(), into, into, rows, dIn, unused);
    if (recipe.scale() != 1) {
      for (int i = 0; i < rows * dIn; i++) {
        into.put(i, (float) (into.get(i) * recipe.scale()));
      }
    }
    batch.rows(rows);
    batch.buffer().upload((long) rows * dIn * Float.BYTES);
  }

  @Override
  public void close() {
    for (ActivationBatch batch : batches) {
      batch.close();
    }
  }
}
