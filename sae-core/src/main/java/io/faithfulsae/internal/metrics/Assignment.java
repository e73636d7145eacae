package io.faithfulsae.internal.metrics;

import java.util.Arrays;

/**
 * Exact linear assignment on a dense matrix after Jonker and Volgenant, "A Shortest Augmenting Path
 * Algorithm for Dense and Sparse Linear Assignment Problems", Computing 38, 1987: augmenting row
 * reduction, then augmentation along shortest paths.
 *
 * <p>Costs are the negated scores; {@code price} holds the dual variables of the columns, 0 at
 * first. A price only falls, and only where a column is assigned, and an assigned column stays so:
 * with more columns than rows the free ones keep price 0, which makes the result optimal there too.
 * Their column reduction would price every column and so spoil that; on cosines between
 * dictionaries (1,024 to 4,096 random rows) it also made the whole take three to six times as long.
 */
public final class Assignment {
  private static final int FREE = -1;

  private final float[][] scores;
  private final int rows;
  private final int columns;
  private final int[] columnOf;
  private final int[] rowOf;
  private final double[] price;
  private final int[] freeRows;
  private int freeCount;

  private Assignment(float[][] scores) {
    this.scores = scores;
    this.rows = scores.length;
    this.columns = rows == 0 ? 0 : scores[0].length;
    this.columnOf = new int[rows];
    this.rowOf = new int[columns];
    this.price = new double[columns];
    this.freeRows = new int[rows];
    Arrays.fill(columnOf, FREE);
    Arrays.fill(rowOf, FREE);
  }

  /**
   * Finds distinct columns, one for each row, with the largest sum of scores. Worst case O(rows² ·
   * columns) time; O(rows + columns) memory beside the scores.
   *
   * @param scores <b>Shape</b> {@code [rows, columns]}, finite, rows &lt;= columns. Not modified.
   * @return the column of each row
   * @throws IllegalArgumentException if there are more rows than columns, or a score is not finite
   */
  public static int[] maximumSum(float[][] scores) {
    check(scores);
    Assignment assignment = new Assignment(scores);
    assignment.solve();
    return assignment.columnOf;
  }

  private static void check(float[][] scores) {
    for (int i = 0; i < scores.length; i++) {
      if (scores[i].length != scores[0].length || scores[i].length < scores.length) {
        throw new IllegalArgumentException(
            "expected rows of one length, at least as many columns as rows, got row "
                + i
                + " of "
                + scores[i].length
                + " in "
                + scores.length
                + " rows; mend: transpose");
      }
      for (float score : scores[i]) {
        if (!Float.isFinite(score)) {
          throw new IllegalArgumentException(
              "expected finite scores, got " + score + " in row " + i + "; mend: replace it");
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

  /**
   * Each free row takes its cheapest column and lowers the price to that of the second cheapest.
   */
  private void reduceRows() {
    int pending = freeCount;
    int next = 0;
    long budget = (long) rows * 8; // rounding could let two rows outbid each other for ever
    freeCount = 0;
    while (next < pending) {
      int i = freeRows[next++];
      float[] row = scores[i];
      int first = -1;
      int second = -1;
      double least = Double.POSITIVE_INFINITY;
      double runnerUp = Double.POSITIVE_INFINITY;
      for (int j = 0; j < columns; j++) {
        double reduced = -row[j] - price[j];
        if (reduced < runnerUp) {
          if (reduced < least) {
            runnerUp = least;
            second = first;
            least = reduced;
            first = j;
          } else {
            runnerUp = reduced;
            second = j;
          }
        }
      }
      double lowered = price[first] - (runnerUp - least);
      boolean lower = lowered < price[first];
      if (lower) {
        price[first] = lowered;
      } else if (rowOf[first] != FREE) {
        first = second;
      }
      int displaced = rowOf[first];
      assign(i, first);
      if (displaced != FREE) {
        columnOf[displaced] = FREE;
        if (lower && budget-- > 0) {
          freeRows[--next] = displaced;
        } else {
          freeRows[freeCount++] = displaced;
        }
      }
    }
  }

  /** Dijkstra's shortest path over reduced costs from each free row to a free column. */
  private void augment() {
    double[] distance = new double[columns];
    int[] previousRow = new int[columns];
    int[] order =
        new int[columns]; // [0, low) done, [low, up) at the least distance, [up, …) others
    for (int f = 0; f < freeCount; f++) {
      int start = freeRows[f];
      float[] row = scores[start];
      for (int j = 0; j < columns; j++) {
        distance[j] = -row[j] - price[j];
        previousRow[j] = start;
        order[j] = j;
      }
      int low = 0;
      int up = 0;
      int done = 0;
      int end = FREE;
      double least = 0;
      while (end == FREE) {
        if (up == low) {
          done = low;
          least = distance[order[up]];
          for (int s = up; s < columns; s++) {
            int j = order[s];
            if (distance[j] <= least) {
              if (distance[j] < least) {
                up = low;
                least = distance[j];
              }
              order[s] = order[up];
              order[up++] = j;
            }
          }
          for (int s = low; s < up && end == FREE; s++) {
            end = rowOf[order[s]] == FREE ? order[s] : FREE;
          }
        }
        if (end == FREE) {
          int scanned = order[low++];
          int i = rowOf[scanned];
          float[] through = scores[i];
          double offset = -through[scanned] - price[scanned] - least;
          for (int s = up; s < columns; s++) {
            int j = order[s];
            double longer = -through[j] - price[j] - offset;
            if (longer < distance[j]) {
              distance[j] = longer;
              previousRow[j] = i;
              if (longer <= least) {
                if (rowOf[j] == FREE) {
                  end = j;
                  break;
                }
                order[s] = order[up];
                order[up++] = j;
              }
            }
          }
        }
      }
      for (int s = 0; s < done; s++) {
        price[order[s]] += distance[order[s]] - least;
      }
      flip(start, end, previousRow);
    }
  }

  /** Assigns along the path that was found, from its free column back to its free row. */
  private void flip(int start, int end, int[] previousRow) {
    int column = end;
    int row;
    do {
      row = previousRow[column];
      int before = columnOf[row];
      assign(row, column);
      column = before;
    } while (row != start);
  }
}
