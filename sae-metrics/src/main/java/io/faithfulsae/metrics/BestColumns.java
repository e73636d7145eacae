package io.faithfulsae.metrics;

import java.util.Arrays;

/**
 * The most profitable columns of each row, at prices that only rise: a short list per row, and a
 * bound on the profit of any column outside the list. A column's profit for a row is its score
 * minus its price, so the bound stays valid while prices rise. A row is read again only when its
 * list and bound cannot answer a query.
 */
final class BestColumns {
  /** Columns listed per row: enough that rows are seldom read again, short enough to scan. */
  private static final int LISTED = 48;

  private final float[][] scores;
  private final double[] price;
  private final int listed;
  private final int[][] lists;
  private final double[] bounds;

  /** Candidates while a row is read, and their profits. */
  private final int[] candidates;

  private final double[] profits;

  private int first;
  private int second;
  private double firstProfit;
  private double secondProfit;

  /**
   * Creates empty lists; rows are read on first use.
   *
   * @param price of each column; may rise but never fall during the life of this object
   */
  BestColumns(float[][] scores, double[] price) {
    this.scores = scores;
    this.price = price;
    this.listed = Math.min(LISTED, price.length);
    this.lists = new int[scores.length][];
    this.bounds = new double[scores.length];
    this.candidates = new int[2 * listed];
    this.profits = new double[2 * listed];
  }

  static long bytesNeeded(int rows, int columns) {
    return rows * (Math.min(LISTED, columns) * (long) Integer.BYTES + 16 + Double.BYTES);
  }

  /** The listed columns of a row, in no particular order. */
  int[] list(int row) {
    if (lists[row] == null) {
      read(row);
    }
    return lists[row];
  }

  /** No column outside the list of a row has a larger profit; minus infinity if there is none. */
  double bound(int row) {
    return bounds[row];
  }

  /** Finds the best two columns of a row at current prices; there are at least two. */
  void find(int row) {
    findListed(row);
    if (secondProfit < bounds[row]) {
      read(row);
      findListed(row);
    }
  }

  int first() {
    return first;
  }

  int second() {
    return second;
  }

  double firstProfit() {
    return firstProfit;
  }

  double secondProfit() {
    return secondProfit;
  }

  private void findListed(int row) {
    float[] scoresOfRow = scores[row];
    firstProfit = Double.NEGATIVE_INFINITY;
    secondProfit = Double.NEGATIVE_INFINITY;
    for (int column : list(row)) {
      double profit = scoresOfRow[column] - price[column];
      if (profit > secondProfit) {
        if (profit > firstProfit) {
          secondProfit = firstProfit;
          second = first;
          firstProfit = profit;
          first = column;
        } else {
          secondProfit = profit;
          second = column;
        }
      }
    }
  }

  /** Lists a row's best columns at current prices. */
  void read(int row) {
    float[] scoresOfRow = scores[row];
    int count = 0;
    double floor = Double.NEGATIVE_INFINITY; // no column left out has a larger profit
    for (int j = 0; j < scoresOfRow.length; j++) {
      double profit = scoresOfRow[j] - price[j];
      if (profit > floor) {
        if (count == candidates.length) {
          floor = keepBest(count);
          count = listed;
        }
        if (profit > floor) {
          candidates[count] = j;
          profits[count++] = profit;
        }
      }
    }
    if (count > listed) {
      floor = keepBest(count);
    }
    lists[row] = Arrays.copyOf(candidates, listed);
    bounds[row] = floor;
  }

  /**
   * Moves the best {@code listed} candidates to the front; returns the best profit among the rest.
   */
  private double keepBest(int count) {
    int low = 0;
    int high = count - 1;
    while (low < high) { // Hoare's selection of the element at `listed`
      double pivot = profits[(low + high) >>> 1];
      int i = low;
      int j = high;
      while (i <= j) {
        while (profits[i] > pivot) {
          i++;
        }
        while (profits[j] < pivot) {
          j--;
        }
        if (i <= j) {
          swap(i++, j--);
        }
      }
      if (listed <= j) {
        high = j;
      } else if (listed >= i) {
        low = i;
      } else {
        break;
      }
    }
    return profits[listed];
  }

  private void swap(int i, int j) {
    double profit = profits[i];
    profits[i] = profits[j];
    profits[j] = profit;
    int column = candidates[i];
    candidates[i] = candidates[j];
    candidates[j] = column;
  }
}
