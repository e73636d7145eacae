package io.faithfulsae.metrics.internal;

import io.faithfulsae.metrics.Reconstruction.Block;
import java.util.ArrayList;
import java.util.List;

/**
 * Squared errors and moments of consecutive rows, in blocks of equal size. The size doubles
 * whenever there are too many blocks, so that many rows end up in 32 to 64 blocks of several
 * sequences each.
 */
final class RowBlocks {
  private static final int MAX_BLOCKS = 64;

  private final int columns;
  private final List<Moments> blocks = new ArrayList<>();
  private long perBlock = 1;

  /** Merged as in {@link ColumnMoments}. */
  private static final class Moments {
    private long rows;
    private double squaredError;
    private double squares; // Σ‖x − mean‖², around the block's own mean
    private final double[] mean;

    Moments(int columns) {
      this.mean = new double[columns];
    }

    void add(float[] x, int at, double error) {
      rows++;
      squaredError += error;
      for (int j = 0; j < mean.length; j++) {
        double shift = x[at + j] - mean[j];
        mean[j] += shift / rows;
        squares += shift * (x[at + j] - mean[j]);
      }
    }

    void merge(Moments other) {
      double share = (double) other.rows / (rows + other.rows);
      for (int j = 0; j < mean.length; j++) {
        double shift = other.mean[j] - mean[j];
        squares += shift * shift * share * rows;
        mean[j] += shift * share;
      }
      squares += other.squares;
      squaredError += other.squaredError;
      rows += other.rows;
    }
  }

  RowBlocks(int columns) {
    this.columns = columns;
  }

  /** Adds the row that starts at an index of an array. */
  void add(float[] x, int at, double squaredError) {
    if (blocks.isEmpty() || blocks.get(blocks.size() - 1).rows == perBlock) {
      if (blocks.size() == MAX_BLOCKS) {
        for (int i = 0; i < MAX_BLOCKS / 2; i++) {
          Moments merged = blocks.get(i);
          merged.merge(blocks.remove(i + 1));
        }
        perBlock *= 2;
      }
      blocks.add(new Moments(columns));
    }
    blocks.get(blocks.size() - 1).add(x, at, squaredError);
  }

  /** The blocks, with variances around the mean of all rows. */
  List<Block> around(double[] mean) {
    List<Block> result = new ArrayList<>();
    for (Moments block : blocks) {
      double between = 0;
      for (int j = 0; j < columns; j++) {
        between += (block.mean[j] - mean[j]) * (block.mean[j] - mean[j]);
      }
      result.add(new Block(block.rows, block.squaredError, block.squares + block.rows * between));
    }
    return result;
  }
}
