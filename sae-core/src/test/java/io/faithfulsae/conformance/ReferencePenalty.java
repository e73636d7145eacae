package io.faithfulsae.conformance;

import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.StepConfig.Penalty;
import io.faithfulsae.spi.StepConfig.Sparsity;
import java.util.stream.IntStream;

/** The definition of the sparsity terms and their gradients, for one batch. */
final class ReferencePenalty {
  private final Sparsity how;
  private final ReferenceSae sae;
  private final int rows;
  private final double c; // of one row, with its warm-up
  private long active;
  private double total;

  /**
   * Derivatives of the term.
   *
   * @param dz with respect to a latent's value
   * @param dNorm with respect to the norm of its decoder row
   */
  record Slopes(double dz, double dNorm) {}

  ReferencePenalty(Sparsity how, ReferenceSae sae, long steps, int rows) {
    this.how = how;
    this.sae = sae;
    this.rows = rows;
    double warm = how.warmupSteps() == 0 ? 1 : Math.min(1.0, (double) steps / how.warmupSteps());
    this.c = how.coefficient() * warm / rows;
  }

  /** Counts a row's active latents; call it for all rows first. */
  void count(float[] values) {
    active += active(values);
  }

  private static long active(float[] values) {
    long n = 0;
    for (float value : values) {
      n += value > 0 ? 1 : 0;
    }
    return n;
  }

  /** Adds a row's terms of L0 to the total, and returns their derivative by that row's L0. */
  double stepSlope(float[] values) {
    double l0 = active(values);
    double target = how.targetL0();
    return switch (how.penalty()) {
      case L0 -> {
        total += c * l0;
        yield c;
      }
      case L0_OF_ROWS -> {
        total += c * 2 / target * (l0 - target) * (l0 - target);
        yield c * 4 / target * (l0 - target);
      }
      case L0_OF_BATCH -> {
        double off = (double) active / rows / target - 1;
        total += c * off * off;
        yield 2 * c * off / target;
      }
      default -> 0;
    };
  }

  /** Adds a latent's own term to the total, and returns its derivatives. */
  Slopes slopes(int latent, double z) {
    double n = norm(latent);
    if (how.penalty() == Penalty.L1 && z > 0) {
      total += c * z * n;
      return new Slopes(c * n, how.weightByNorm() ? c * z : 0);
    }
    if (how.penalty() == Penalty.TANH) {
      double t = Math.tanh(how.tanhScale() * z * n);
      double inner = c * how.tanhScale() * (1 - t * t);
      total += c * t;
      return new Slopes(inner * n, how.weightByNorm() ? inner * z : 0);
    }
    return new Slopes(0, 0);
  }

  double norm(int latent) {
    if (!how.weightByNorm()) {
      return 1;
    }
    double squares = 0;
    int d = sae.bDec.length;
    for (int at = latent * d; at < (latent + 1) * d; at++) {
      squares += (double) sae.wDec[at] * sae.wDec[at];
    }
    return Math.sqrt(squares);
  }

  /**
   * Whether a listed latent is within half a bandwidth of its threshold: inactive ones are listed
   * only if they are.
   */
  boolean isNear(int latent, float z) {
    return z == 0 || z - sae.tensor(Tensor.THRESHOLD)[latent] < how.bandwidth() / 2;
  }

  /** Inactive latents whose threshold is within half a bandwidth of 0. */
  int[] nearZero(int[] index, float[] values) {
    boolean[] on = new boolean[sae.dSae];
    IntStream.range(0, index.length).filter(i -> values[i] > 0).forEach(i -> on[index[i]] = true);
    float[] threshold = sae.tensor(Tensor.THRESHOLD);
    return IntStream.range(0, sae.dSae)
        .filter(j -> !on[j] && threshold[j] < how.bandwidth() / 2)
        .toArray();
  }

  double total() {
    return total;
  }
}
