package io.faithfulsae.metrics.internal.probe;

/** A confusion matrix, with accuracy and macro F1. */
final class Confusion {
  private final int[][] counts; // [label][predicted]

  Confusion(int classes) {
    this.counts = new int[classes][classes];
  }

  void add(int label, int predicted) {
    counts[label][predicted]++;
  }

  /** Returns a copy with one example removed. */
  Confusion without(int label, int predicted) {
    Confusion rest = new Confusion(counts.length);
    for (int row = 0; row < counts.length; row++) {
      rest.counts[row] = counts[row].clone();
    }
    rest.counts[label][predicted]--;
    return rest;
  }

  double accuracy() {
    long correct = 0;
    long all = 0;
    for (int label = 0; label < counts.length; label++) {
      for (int predicted = 0; predicted < counts.length; predicted++) {
        all += counts[label][predicted];
        correct += label == predicted ? counts[label][predicted] : 0;
      }
    }
    return (double) correct / all;
  }

  /**
   * Mean F1 over the classes that occur among labels or predictions; a class never predicted
   * correctly has F1 0.
   */
  double macroF1() {
    double sum = 0;
    int present = 0;
    for (int c = 0; c < counts.length; c++) {
      long labeled = 0;
      long predicted = 0;
      for (int other = 0; other < counts.length; other++) {
        labeled += counts[c][other];
        predicted += counts[other][c];
      }
      if (labeled + predicted > 0) {
        present++;
        sum += 2.0 * counts[c][c] / (labeled + predicted);
      }
    }
    return sum / present;
  }
}
