package io.faithfulsae.metrics;

import java.util.Arrays;

/**
 * Dijkstra's shortest path over reduced costs from a free row to a free column. A row that the
 * search reaches contributes its listed columns at once and all others behind a bound: the whole
 * row is read only if the search gets as far as its bound.
 *
 * <p>The length of a path is price minus score of the column where it ends, plus score minus price
 * of each assigned pair on the way.
 */
final class ShortestPath {
  private static final int FREE = -1;

  private final float[][] scores;
  private final double[] price;
  private final int[] rowOf;
  private final BestColumns best;

  private final double[] distance;
  private final int[] rowBefore;
  private final boolean[] done;
  private final int[] touched;
  private int touchedCount;

  /**
   * Entries {@code >= 0} are columns; the others, {@code ~row}, stand for the columns that a row
   * does not list.
   */
  private final MinQueue queue;

  /**
   * For each reached row, what to add to price minus score to get the length of a path through it.
   */
  private final double[] offset;

  ShortestPath(float[][] scores, double[] price, int[] rowOf, BestColumns best) {
    this.scores = scores;
    this.price = price;
    this.rowOf = rowOf;
    this.best = best;
    this.distance = new double[price.length];
    this.rowBefore = new int[price.length];
    this.done = new boolean[price.length];
    this.touched = new int[price.length];
    this.offset = new double[scores.length];
    this.queue = new MinQueue();
    Arrays.fill(distance, Double.POSITIVE_INFINITY);
  }

  /** The row that precedes a column on the path found last. */
  int rowBefore(int column) {
    return rowBefore[column];
  }

  /** Returns the free column at the end of the shortest path and raises prices accordingly. */
  int find(int start) {
    reach(start, 0);
    while (true) {
      double least = queue.leastKey();
      int entry = queue.remove();
      if (entry < 0) {
        int row = ~entry;
        best.read(row); // prices may have risen since it was read
        if (offset[row] - best.bound(row) > least) {
          offerListed(row);
        } else {
          offerAll(row);
        }
      } else if (!done[entry] && distance[entry] == least) {
        int row = rowOf[entry];
        if (row == FREE) {
          finish(least);
          return entry;
        }
        done[entry] = true;
        reach(row, least + scores[row][entry] - price[entry]);
      }
    }
  }

  private void reach(int row, double beyond) {
    offset[row] = beyond;
    offerListed(row);
  }

  private void offerListed(int row) {
    for (int column : best.list(row)) {
      offer(row, column);
    }
    double bound = best.bound(row);
    if (bound > Double.NEGATIVE_INFINITY) {
      queue.add(offset[row] - bound, ~row);
    }
  }

  private void offerAll(int row) {
    for (int column = 0; column < price.length; column++) {
      offer(row, column);
    }
  }

  private void offer(int row, int column) {
    double length = offset[row] + price[column] - scores[row][column];
    if (length < distance[column] && !done[column]) {
      if (distance[column] == Double.POSITIVE_INFINITY) {
        touched[touchedCount++] = column;
      }
      distance[column] = length;
      rowBefore[column] = row;
      queue.add(length, column);
    }
  }

  private void finish(double length) {
    for (int t = 0; t < touchedCount; t++) {
      int column = touched[t];
      if (done[column]) {
        price[column] += length - distance[column];
        done[column] = false;
      }
      distance[column] = Double.POSITIVE_INFINITY;
    }
    touchedCount = 0;
    queue.clear();
  }
}
