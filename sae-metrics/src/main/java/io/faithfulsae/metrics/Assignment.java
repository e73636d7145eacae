package io.faithfulsae.metrics;

import io.faithfulsae.io.Expected;
import java.util.Arrays;
import java.util.function.LongConsumer;

/**
 * Exact linear assignment on a dense matrix after Jonker and Volgenant, "A Shortest Augmenting Path
 * Algorithm for Dense and Sparse Linear Assignment Problems", Computing 38, 1987: augmenting row
 * reduction, then augmentation along shortest paths. Rows are read through {@link BestColumns}, so
 * that few elements of the matrix are read more than once.
 *
 * <p>{@code price} holds the dual variables of the columns, 0 at first. Prices never fall, only
 * assigned columns change price, and an assigned column stays assigned. With more columns than rows
 * the free columns therefore keep price 0, which makes the result optimal in that case too. Jonker
 * and Volgenant's column reduction would price every column and break this; on cosines between
 * dictionaries (1,024 to 4,096 random rows) it also made the run three to six times slower.
 */
public final class Assignment {
  private static final int FREE = -1;

  /** Rows between two progress reports. */
  private static final int REPORT = 64;

  private final float[][] scores;
  private final int rows;
  private final int columns;
  private final int[] columnOf;
  private final int[] rowOf;
  private final double[] price;
  private final int[] freeRows;
  private final BestColumns best;
  private final LongConsumer onAssigned;
  private int freeCount;

  private Assignment(float[][] scores, LongConsumer onAssigned) {
    this.scores = scores;
    this.rows = scores.length;
    this.columns = rows == 0 ? 0 : scores[0].length;
    this.columnOf = new int[rows];
    this.rowOf = new int[columns];
    this.price = new double[columns];
    this.freeRows = new int[rows];
    this.best = new BestColumns(scores, price);
    this.onAssigned = onAssigned;
    Arrays.fill(columnOf, FREE);
    Arrays.fill(rowOf, FREE);
  }

  /**
   * Finds a distinct column for each row, with the largest sum of scores. Worst case O(rows² ·
   * columns) time.
   *
   * @param scores <b>Shape</b> {@code [rows, columns]}, finite, rows &lt;= columns. Not modified.
   * @return the column of each row
   * @throws IllegalArgumentException if there are more rows than columns, or a score is not finite
   */
  public static int[] maximumSum(float[][] scores) {
    return maximumSum(scores, assigned -> {});
  }

  /**
   * Finds the assignment and reports progress.
   *
   * @param onAssigned called occasionally with the number of rows assigned for good; an exception
   *     thrown by it ends the search
   */
  public static int[] maximumSum(float[][] scores, LongConsumer onAssigned) {
    return solved(scores, onAssigned).columnOf;
  }

  /**
   * Upper bound on how much any assignment could beat the one found, from the prices alone (linear
   * programming duality): 0 up to rounding. Lets tests check optimality without a second solver.
   */
  static double gap(float[][] scores) {
    Assignment solved = solved(scores, assigned -> {});
    double bound = 0;
    double sum = 0;
    for (int i = 0; i < solved.rows; i++) {
      double profit = Double.NEGATIVE_INFINITY;
      for (int j = 0; j < solved.columns; j++) {
        profit = Math.max(profit, scores[i][j] - solved.price[j]);
      }
      bound += profit;
      sum += scores[i][solved.columnOf[i]];
    }
    return bound + Arrays.stream(solved.price).sum() - sum;
  }

  /** Heap needed in addition to the scores, in bytes. */
  public static long bytesNeeded(int rows, int columns) {
    return BestColumns.bytesNeeded(rows, columns) + 40L * (rows + columns);
  }

  private static Assignment solved(float[][] scores, LongConsumer onAssigned) {
    check(scores);
    Assignment assignment = new Assignment(scores, onAssigned);
    assignment.solve();
    return assignment;
  }

  private static void check(float[][] scores) {
    for (int i = 0; i < scores.length; i++) {
      if (scores[i].length != scores[0].length || scores[i].length < scores.length) {
        throw new IllegalArgumentException(
            Expected.message(
                "rows of equal length and at least as many columns as rows",
                scores.length + " rows, row " + i + " with " + scores[i].length + " columns",
                "transpose the matrix"));
      }
      for (float score : scores[i]) {
        if (!Float.isFinite(score)) {
          throw new IllegalArgumentException(
              Expected.message("finite scores", score + " in row " + i, "replace it"));
        }
      }
    }
  }

  private void solve() {
    if (columns == 1) {
      assign(0, 0);
      return;
    }
    for (int i = 0; i < rows; i++) {
      freeRows[freeCount++] = i;
    }
    reduceRows();
    reduceRows();
    augment();
  }

  private void assign(int row, int column) {
    columnOf[row] = column;
    rowOf[column] = row;
  }

  /** Each free row takes its best column and raises the price until the second best is as good. */
  private void reduceRows() {
    int pending = freeCount;
    int next = 0;
    long budget = (long) rows * 8; // rounding could let two rows outbid each other forever
    freeCount = 0;
    while (next < pending) {
      int i = freeRows[next++];
      best.find(i);
      int column = best.first();
      double raised = price[column] + (best.firstProfit() - best.secondProfit());
      boolean raise = raised > price[column];
      if (raise) {
        price[column] = raised;
      } else if (rowOf[column] != FREE) {
        column = best.second();
      }
      int displaced = rowOf[column];
      assign(i, column);
      if (displaced != FREE) {
        columnOf[displaced] = FREE;
        if (raise && budget-- > 0) {
          freeRows[--next] = displaced;
        } else {
          freeRows[freeCount++] = displaced;
        }
      }
    }
  }

  private void augment() {
    ShortestPath path = new ShortestPath(scores, price, rowOf, best);
    for (int f = 0; f < freeCount; f++) {
      if (f % REPORT == 0) {
        onAssigned.accept(rows - freeCount + f);
      }
      int start = freeRows[f];
      int column = path.find(start);
      int row;
      do { // assigns along the path, from its free column back to its free row
        row = path.rowBefore(column);
        int before = columnOf[row];
        assign(row, column);
        column = before;
      } while (row != start);
    }
    onAssigned.accept(rows);
  }
}
