package io.faithfulsae.javabackend.internal;

import io.faithfulsae.spi.StepConfig;

/** One step of an optimizer, in float32, on one array of parameters at a time. */
interface Optimizer {

  /**
   * Updates parameters.
   *
   * @param g their gradient
   * @param w the parameters
   * @param first what the optimizer keeps of them
   * @param second likewise; empty where it keeps one array
   */
  void update(float[] g, float[] w, float[] first, float[] second);

  /**
   * torch.optim.Adam without weight decay. A loop for each array, which C2 vectorises.
   *
   * @param step from 1
   */
  static Optimizer adam(StepConfig.Adam how, double lr, long step) {
    float keep1 = (float) how.beta1();
    float take1 = (float) (1 - how.beta1());
    float keep2 = (float) how.beta2();
    float take2 = (float) (1 - how.beta2());
    float rate = (float) (lr / (1 - Math.pow(how.beta1(), (double) step)));
    float correction = (float) (1 / (1 - Math.pow(how.beta2(), (double) step)));
    float eps = (float) how.eps();
    return (g, w, m, v) -> {
      for (int i = 0; i < m.length; i++) {
        m[i] = keep1 * m[i] + take1 * g[i];
      }
      for (int i = 0; i < v.length; i++) {
        v[i] = keep2 * v[i] + take2 * g[i] * g[i];
      }
      for (int i = 0; i < w.length; i++) {
        w[i] = w[i] - rate * m[i] / ((float) Math.sqrt(v[i] * correction) + eps);
      }
    };
  }

  /**
   * signSGD with schedule-free averaging: w is y, and what is kept is the iterate z.
   *
   * @param share weight of the new iterate in the average
   */
  static Optimizer signum(double lr, double share) {
    double momentum = StepConfig.Optimizer.MOMENTUM;
    return (g, w, z, none) -> {
      for (int i = 0; i < w.length; i++) {
        double average = w[i] + (1 - 1 / momentum) * ((double) z[i] - w[i]);
        double next = z[i] - lr * Math.signum(g[i]);
        average += share * (next - average);
        z[i] = (float) next;
        w[i] = (float) (next + momentum * (average - next));
      }
    };
  }

  /**
   * Weight of the new iterate in signum's average.
   *
   * @param averaging the sum of the weights and the largest learning rate so far; updated
   */
  static double share(double[] averaging, double lr) {
    averaging[1] = Math.max(averaging[1], lr);
    double weight = averaging[1] * averaging[1];
    averaging[0] += weight;
    return averaging[0] == 0 ? 0 : weight / averaging[0];
  }
}
