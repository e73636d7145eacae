package io.faithfulsae.conformance;

import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.StepConfig;
import io.faithfulsae.spi.StepConfig.Optimizer;

/**
 * The definition of the optimizers. Computed in double; what is kept between steps is rounded to
 * float32.
 */
final class ReferenceOptimizer {
  private static final double MOMENTUM = Optimizer.MOMENTUM;
  private static final int ITERATIONS = 5;

  private final StepConfig config;
  private final double lr;
  private final long step; // from 1

  ReferenceOptimizer(StepConfig config, double lr, long step) {
    this.config = config;
    this.lr = lr;
    this.step = step;
  }

  /** Weight of the new iterate in the average; updates what is kept of the averaging. */
  static double share(double[] averaging, double lr) {
    averaging[1] = Math.max(averaging[1], lr);
    double weight = averaging[1] * averaging[1];
    averaging[0] += weight;
    return averaging[0] == 0 ? 0 : weight / averaging[0];
  }

  /** torch.optim.Adam without weight decay. */
  void adam(double[] g, float[] w, float[] m, float[] v) {
    StepConfig.Adam adam = config.adam();
    double correction1 = 1 - Math.pow(adam.beta1(), (double) step);
    double correction2 = 1 - Math.pow(adam.beta2(), (double) step);
    for (int i = 0; i < w.length; i++) {
      double mean = adam.beta1() * m[i] + (1 - adam.beta1()) * g[i];
      double square = adam.beta2() * v[i] + (1 - adam.beta2()) * g[i] * g[i];
      w[i] =
          (float)
              (w[i] - lr * (mean / correction1) / (Math.sqrt(square / correction2) + adam.eps()));
      m[i] = (float) mean;
      v[i] = (float) square;
    }
  }

  /** w is y, z the iterate. */
  void signum(double[] g, float[] w, float[] z, double share) {
    for (int i = 0; i < w.length; i++) {
      double average = w[i] + (1 - 1 / MOMENTUM) * ((double) z[i] - w[i]);
      double next = z[i] - lr * Math.signum(g[i]);
      average += share * (next - average);
      z[i] = (float) next;
      w[i] = (float) (next + MOMENTUM * (average - next));
    }
  }

  /** w and g are {@code [rows, columns]}. */
  void muon(double[] g, float[] w, float[] m, int columns) {
    int rows = w.length / columns;
    double[][] n = new double[rows][columns];
    for (int i = 0; i < w.length; i++) {
      double mean = m[i] + (1 - MOMENTUM) * (g[i] - m[i]);
      m[i] = (float) mean;
      n[i / columns][i % columns] = g[i] + MOMENTUM * (mean - g[i]);
    }
    double[][] step = rows <= columns ? orthogonal(n) : transpose(orthogonal(transpose(n)));
    double scale = 0.2 * Math.sqrt(Math.max(rows, columns));
    for (int i = 0; i < w.length; i++) {
      w[i] = (float) (w[i] * (1 - 0.1 * lr) - lr * scale * step[i / columns][i % columns]);
    }
  }

  /** Newton-Schulz iterations towards the orthogonal factor. */
  private static double[][] orthogonal(double[][] start) {
    double squares = 0;
    for (double[] row : start) {
      for (double value : row) {
        squares += value * value;
      }
    }
    double norm = Math.sqrt(squares) + 1e-7;
    double[][] x = start;
    for (double[] row : x) {
      for (int i = 0; i < row.length; i++) {
        row[i] /= norm;
      }
    }
    for (int i = 0; i < ITERATIONS; i++) {
      double[][] a = product(x, transpose(x));
      double[][] b = sum(times(-4.7750, a), product(times(2.0315, a), a));
      x = sum(times(3.4445, x), product(b, x));
    }
    return x;
  }

  private static double[][] product(double[][] a, double[][] b) {
    double[][] c = new double[a.length][b[0].length];
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < b[0].length; j++) {
        double sum = 0;
        for (int k = 0; k < b.length; k++) {
          sum += a[i][k] * b[k][j];
        }
        c[i][j] = sum;
      }
    }
    return c;
  }

  private static double[][] sum(double[][] a, double[][] b) {
    double[][] c = new double[a.length][a[0].length];
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < a[0].length; j++) {
        c[i][j] = a[i][j] + b[i][j];
      }
    }
    return c;
  }

  private static double[][] times(double factor, double[][] a) {
    double[][] c = new double[a.length][a[0].length];
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < a[0].length; j++) {
        c[i][j] = factor * a[i][j];
      }
    }
    return c;
  }

  private static double[][] transpose(double[][] a) {
    double[][] t = new double[a[0].length][a.length];
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < a[0].length; j++) {
        t[j][i] = a[i][j];
      }
    }
    return t;
  }

  /** Whether Muon trains it by its own rule. */
  static boolean isMatrix(Tensor tensor) {
    return tensor == Tensor.W_ENC || tensor == Tensor.W_DEC || tensor == Tensor.W_SKIP;
  }
}
