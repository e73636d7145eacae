package io.faithfulsae.benchmarks;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Latents;
import io.faithfulsae.spi.BackendTrainer.StepStats;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/** Checks results before they are timed. */
final class Checks {
  private Checks() {}

  /** Compares a few rows with a double-precision product and a full sort. */
  static void latents(Workload w, Latents z) {
    float[] x = WorkloadArrays.of(w).activations();
    float[] encoder = WorkloadArrays.of(w).encoder();
    IntBuffer indices = z.indices();
    FloatBuffer values = z.values();
    for (int row : new int[] {0, w.rows() / 2, w.rows() - 1}) {
      double[] dense = product(w, x, encoder, row);
      List<Integer> best =
          IntStream.range(0, w.dSae())
              .boxed()
              .sorted(Comparator.comparingDouble(j -> -dense[j]))
              .limit(w.k())
              .toList();
      for (int place = 0; place < w.k(); place++) {
        int at = row * w.k() + place;
        // Rounding may swap latents of nearly equal value: compare values, not indices.
        double expected = dense[best.get(place)];
        require(
            Math.abs(values.get(at) - expected) <= 1e-4 * Math.max(1, expected)
                && Math.abs(dense[indices.get(at)] - expected) <= 1e-4 * Math.max(1, expected),
            "row "
                + row
                + ", place "
                + place
                + ": expected "
                + expected
                + ", got "
                + values.get(at));
      }
    }
  }

  /**
   * Compares a few rows with those of a double-precision product above a threshold.
   *
   * @param less whether values are what exceeds the threshold
   */
  static void aboveThreshold(Workload w, Latents z, double threshold, boolean less) {
    float[] x = WorkloadArrays.of(w).activations();
    float[] encoder = WorkloadArrays.of(w).encoder();
    double off = less ? threshold : 0;
    for (int row : new int[] {0, w.rows() / 2, w.rows() - 1}) {
      double[] dense = product(w, x, encoder, row);
      float[] kept = new float[w.dSae()];
      for (int at = z.start(row); at < z.end(row); at++) {
        kept[z.indices().get(at)] = z.values().get(at);
      }
      for (int j = 0; j < w.dSae(); j++) {
        double tolerance = 1e-4 * Math.max(1, Math.abs(dense[j]));
        require(
            kept[j] > 0
                ? Math.abs(kept[j] + off - dense[j]) <= tolerance
                    && dense[j] > threshold - tolerance
                : dense[j] <= threshold + tolerance,
            "row " + row + ", latent " + j + ": expected " + dense[j] + ", got " + kept[j]);
      }
    }
  }

  private static double[] product(Workload w, float[] x, float[] encoder, int row) {
    double[] dense = new double[w.dSae()];
    for (int j = 0; j < w.dSae(); j++) {
      for (int i = 0; i < w.dIn(); i++) {
        dense[j] += (double) x[row * w.dIn() + i] * encoder[j * w.dIn() + i];
      }
    }
    return dense;
  }

  /** Compares a row with the sum of its decoder directions. */
  static void reconstruction(Workload w, Latents z, ActivationBatch out) {
    float[] decoder = WorkloadArrays.of(w).decoder();
    int row = w.rows() - 1;
    for (int i = 0; i < w.dIn(); i++) {
      double expected = 0;
      for (int place = 0; place < w.k(); place++) {
        int at = row * w.k() + place;
        expected += (double) z.values().get(at) * decoder[z.indices().get(at) * w.dIn() + i];
      }
      double got = out.data().get(row * w.dIn() + i);
      require(
          Math.abs(got - expected) <= 1e-4 * Math.max(1, Math.abs(expected)),
          "row " + row + ", column " + i + ": expected " + expected + ", got " + got);
    }
  }

  /**
   * Checks that training lowered the error and kept the loss finite. The auxiliary loss, which
   * comes and goes, is not compared.
   */
  static void learned(StepStats first, StepStats last) {
    require(
        Double.isFinite(last.loss()) && last.reconstruction() < first.reconstruction(),
        "reconstruction loss went from " + first.reconstruction() + " to " + last.reconstruction());
  }

  /** Checks that steps of a learning rate of 0 left the error as it was. */
  static void unchanged(StepStats first, StepStats last) {
    require(
        Math.abs(last.reconstruction() / first.reconstruction() - 1) < 1e-3,
        "reconstruction loss went from " + first.reconstruction() + " to " + last.reconstruction());
  }

  private static void require(boolean holds, String what) {
    if (!holds) {
      throw new IllegalStateException("wrong result: " + what);
    }
  }
}
