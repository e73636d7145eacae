package io.faithfulsae.metrics.internal.probe;

/** How often each class was answered for each: from which accuracy and macro F1 follow. */
final class Confusion {
  private final int[][] counts; // [label][answer]

  Confusion(int classes) {
    this.counts = new int[classes][classes];
  }

  void add(int label, int answer) {
    counts[label][answer]++;
  }

  /** A copy that has one of them less. */
  Confusion without(int label, int answer) {
    Confusion rest = new Confusion(counts.length);
    for (int row = 0; row < counts.length; row++) {
      rest.counts[row] = counts[row].clone();
    }
    rest.counts[label][answer]--;
    return rest;
  }

  double accuracy() {
    long right = 0;
    long all = 0;
    for (int label = 0; label < counts.length; label++) {
      for (int answer = 0; answer < counts.length; answer++) {
        all += counts[label][answer];
        right += label == answer ? counts[label][answer] : 0;
      }
    }
    return (double) right / all;
  }

  /** Mean F1 of the classes that occur among labels or answers; 0 for one that is never right. */
  double macroF1() {
    double sum = 0;
    int present = 0;
    for (int c = 0; c < counts.length; c++) {
      long labelled = 0;
      long answered = 0;
      for (int other = 0; other < counts.length; other++) {
        labelled += counts[c][other];
        answered += counts[other][c];
      }
      if (labelled + answered > 0) {
        present++;
        sum += 2.0 * counts[c][c] / (labelled + answered);
      }
    }
    return sum / present;
  }
}
