package io.faithfulsae.metrics.internal.probe;

import de.bwaldvogel.liblinear.Feature;
import de.bwaldvogel.liblinear.FeatureNode;
import de.bwaldvogel.liblinear.Linear;
import de.bwaldvogel.liblinear.Model;
import de.bwaldvogel.liblinear.Parameter;
import de.bwaldvogel.liblinear.Problem;
import de.bwaldvogel.liblinear.SolverType;
import io.faithfulsae.io.Expected;
import java.util.Arrays;
import java.util.List;

/** L2-regularized logistic regression with liblinear, C chosen on held-out examples. */
final class LogisticProbe implements Probe {
  private static final double TOLERANCE = 1e-4;
  private static final int BIAS = 1;

  private final List<Double> costs;
  private final double heldOutShare;

  /**
   * Creates a probe that chooses C from a list.
   *
   * @param costs values of C, ascending
   * @param heldOutShare share of the training examples to choose on; the last ones, since they come
   *     shuffled
   */
  LogisticProbe(List<Double> costs, double heldOutShare) {
    this.costs = costs;
    this.heldOutShare = heldOutShare;
  }

  @Override
  public Predictions fit(
      List<FeatureRow> train, int[] labels, List<FeatureRow> test, int width, int classes) {
    double scale = 1 / rootMeanSquareNorm(train);
    Feature[][] rows = features(train, scale);
    double best = choose(rows, labels, width);
    Model model = train(rows, labels, width, best, TOLERANCE);
    int[] predicted = new int[test.size()];
    for (int i = 0; i < predicted.length; i++) {
      predicted[i] = (int) Linear.predict(model, withBias(features(test.get(i), scale), width));
    }
    return new Predictions(predicted, best);
  }

  /** The L2 norm over the classes of each element's weights. */
  double[] weights(List<FeatureRow> train, int[] labels, int width) {
    Feature[][] rows = features(train, 1 / rootMeanSquareNorm(train));
    return norms(train(rows, labels, width, choose(rows, labels, width), TOLERANCE), width);
  }

  static double[] norms(Model model, int width) {
    double[] all = model.getFeatureWeights(); // [element][class]; one column for two classes
    int columns = all.length / (width + 1);
    double[] norms = new double[width];
    for (int i = 0; i < width; i++) {
      double squares = 0;
      for (int c = 0; c < columns; c++) {
        squares += all[i * columns + c] * all[i * columns + c];
      }
      norms[i] = Math.sqrt(squares);
    }
    return norms;
  }

  private double choose(Feature[][] rows, int[] labels, int width) {
    if (costs.size() == 1) {
      return costs.get(0);
    }
    int heldOut = (int) Math.round(rows.length * heldOutShare);
    int fitted = rows.length - heldOut;
    int[] fittedLabels = Arrays.copyOf(labels, fitted);
    if (heldOut == 0 || Arrays.stream(fittedLabels).distinct().count() < 2) {
      throw new IllegalArgumentException(
          Expected.message(
              "enough training examples to choose C on a held-out share of " + heldOutShare,
              rows.length,
              "add examples, or give a single value of C"));
    }
    double best = costs.get(0);
    int mostCorrect = -1;
    for (double cost : costs) {
      Model model = train(Arrays.copyOf(rows, fitted), fittedLabels, width, cost, TOLERANCE);
      int correct = 0;
      for (int i = fitted; i < rows.length; i++) {
        correct += (int) Linear.predict(model, withBias(rows[i], width)) == labels[i] ? 1 : 0;
      }
      if (correct > mostCorrect) {
        mostCorrect = correct;
        best = cost;
      }
    }
    return best;
  }

  /** Fits on rows that are already scaled. */
  static Model train(Feature[][] rows, int[] labels, int width, double cost, double tolerance) {
    Problem problem = new Problem();
    problem.l = rows.length;
    problem.n = width + 1;
    problem.bias = BIAS;
    problem.y = Arrays.stream(labels).asDoubleStream().toArray();
    problem.x = new Feature[rows.length][];
    for (int i = 0; i < rows.length; i++) {
      problem.x[i] = withBias(rows[i], width);
    }
    Linear.disableDebugOutput();
    return Linear.train(problem, new Parameter(SolverType.L2R_LR, cost, tolerance));
  }

  /** Appends the bias: liblinear's indices start at 1, and the bias comes last. */
  private static Feature[] withBias(Feature[] row, int width) {
    Feature[] longer = Arrays.copyOf(row, row.length + 1);
    longer[row.length] = new FeatureNode(width + 1, BIAS);
    return longer;
  }

  private static Feature[][] features(List<FeatureRow> rows, double scale) {
    return rows.stream().map(row -> features(row, scale)).toArray(Feature[][]::new);
  }

  static Feature[] features(FeatureRow row, double scale) {
    int count = (int) row.nonZeros();
    Feature[] features = new Feature[count];
    int at = 0;
    for (int i = 0; i < row.values().length; i++) {
      if (row.values()[i] != 0) {
        features[at++] = new FeatureNode(row.indices()[i] + 1, row.values()[i] * scale);
      }
    }
    return features;
  }

  private static double rootMeanSquareNorm(List<FeatureRow> rows) {
    double mean = rows.stream().mapToDouble(FeatureRow::squaredNorm).average().orElse(0);
    return mean > 0 ? Math.sqrt(mean) : 1;
  }
}
