package io.faithfulsae.metrics.internal.probe;

import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import java.util.List;

/**
 * The authors' probe: one linear layer with bias, softmax cross entropy averaged over a batch of 4,
 * Adam (lr 1e-3, betas 0.9 and 0.999, eps 1e-8), one epoch in the given order. Initial weights are
 * uniform in ±1/sqrt(width), as in {@code torch.nn.Linear}.
 */
final class SoftmaxProbe implements Probe {
  private static final int BATCH = 4;
  private static final double LR = 1e-3;
  private static final double BETA1 = 0.9;
  private static final double BETA2 = 0.999;
  private static final double EPS = 1e-8;

  private final long seed;

  SoftmaxProbe(long seed) {
    this.seed = seed;
  }

  @Override
  public Predictions fit(
      List<FeatureRow> train, int[] labels, List<FeatureRow> test, int width, int classes) {
    double[] weights = initial(width, classes, seed); // [classes, width + 1], bias last
    fit(weights, train, labels, width, classes);
    Layer layer = new Layer(weights, width, classes);
    int[] predicted = new int[test.size()];
    for (int i = 0; i < predicted.length; i++) {
      double[] logits = layer.logits(test.get(i));
      for (int c = 1; c < classes; c++) {
        predicted[i] = logits[c] > logits[predicted[i]] ? c : predicted[i];
      }
    }
    return new Predictions(predicted, 0);
  }

  private static double[] initial(int width, int classes, long seed) {
    Rng random = new Rng(Purpose.PROBE_WEIGHTS, seed);
    double bound = 1 / Math.sqrt(width);
    double[] weights = new double[classes * (width + 1)];
    for (int i = 0; i < weights.length; i++) {
      weights[i] = (2 * random.nextDouble() - 1) * bound;
    }
    return weights;
  }

  /** Trains for one epoch, updating the weights in place. */
  static void fit(double[] weights, List<FeatureRow> train, int[] labels, int width, int classes) {
    Layer layer = new Layer(weights, width, classes);
    double[] first = new double[weights.length];
    double[] second = new double[weights.length];
    double[] gradient = new double[weights.length];
    int step = 0;
    for (int from = 0; from < train.size(); from += BATCH) {
      int to = Math.min(train.size(), from + BATCH);
      java.util.Arrays.fill(gradient, 0);
      for (int i = from; i < to; i++) {
        layer.addGradient(train.get(i), labels[i], to - from, gradient);
      }
      step++;
      double correct1 = 1 - Math.pow(BETA1, step);
      double correct2 = 1 - Math.pow(BETA2, step);
      for (int w = 0; w < weights.length; w++) {
        first[w] = BETA1 * first[w] + (1 - BETA1) * gradient[w];
        second[w] = BETA2 * second[w] + (1 - BETA2) * gradient[w] * gradient[w];
        weights[w] -= LR * first[w] / correct1 / (Math.sqrt(second[w] / correct2) + EPS);
      }
    }
  }

  /** The linear layer over a weight array. */
  private static final class Layer {
    private final double[] weights; // [classes, width + 1], bias last; updated by the caller
    private final int width;
    private final int classes;

    Layer(double[] weights, int width, int classes) {
      this.weights = weights;
      this.width = width;
      this.classes = classes;
    }

    /** Adds one row's share of a batch's gradient. */
    void addGradient(FeatureRow row, int label, int batch, double[] gradient) {
      double[] p = logits(row);
      double largest = java.util.Arrays.stream(p).max().orElseThrow();
      double sum = 0;
      for (int c = 0; c < classes; c++) {
        p[c] = Math.exp(p[c] - largest);
        sum += p[c];
      }
      for (int c = 0; c < classes; c++) {
        double slope = (p[c] / sum - (c == label ? 1 : 0)) / batch;
        int at = c * (width + 1);
        for (int i = 0; i < row.values().length; i++) {
          gradient[at + row.indices()[i]] += slope * row.values()[i];
        }
        gradient[at + width] += slope;
      }
    }

    double[] logits(FeatureRow row) {
      double[] logits = new double[classes];
      for (int c = 0; c < classes; c++) {
        int at = c * (width + 1);
        double sum = weights[at + width];
        for (int i = 0; i < row.values().length; i++) {
          sum += weights[at + row.indices()[i]] * row.values()[i];
        }
        logits[c] = sum;
      }
      return logits;
    }
  }
}
