package io.faithfulsae.cli;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.io.Expected;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import java.io.IOException;
import java.nio.FloatBuffer;

/** Compares what two SAEs compute on random rows. */
final class OutputComparison {
  private static final int ROWS = 32;
  private static final double TOLERANCE = 1e-5;

  /**
   * A latent just at its threshold may fire in one only, when a bias was moved from one tensor to
   * another; then other rows decide.
   */
  private static final int ATTEMPTS = 3;

  private OutputComparison() {}

  /**
   * Requires equal outputs.
   *
   * @return the largest difference, relative to the largest output
   * @throws IOException if it is above 1e-5
   */
  static double require(Sae one, Sae other) throws IOException {
    double smallest = Double.POSITIVE_INFINITY;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
      float[] rows = rows(one.config().dIn(), attempt);
      smallest = Math.min(smallest, difference(outputs(one, rows), outputs(other, rows)));
      if (smallest <= TOLERANCE) {
        return smallest;
      }
    }
    throw new IOException(
        Expected.message(
            "outputs that differ by at most " + TOLERANCE,
            smallest,
            "nothing was written; report this, with the SAE"));
  }

  private static float[] rows(int width, int seed) {
    Rng random = new Rng(Purpose.TRIALS, seed);
    float[] rows = new float[ROWS * width];
    for (int i = 0; i < rows.length; i++) {
      rows[i] = (float) ((random.nextDouble() - 0.5) * 4);
    }
    return rows;
  }

  private static float[] outputs(Sae sae, float[] rows) {
    try (ActivationBatch x = ActivationBatch.allocate(sae.backend(), ROWS, sae.config().dIn());
        ActivationBatch out = ActivationBatch.allocate(sae.backend(), ROWS, sae.config().dOut())) {
      x.data().put(rows);
      x.rows(ROWS);
      try (Latents latents = sae.encode(x)) {
        sae.decode(latents, x, out);
      }
      float[] outputs = new float[ROWS * sae.config().dOut()];
      FloatBuffer data = out.data();
      data.get(outputs);
      return outputs;
    }
  }

  private static double difference(float[] one, float[] other) {
    double largest = 1;
    double difference = 0;
    for (int i = 0; i < one.length; i++) {
      largest = Math.max(largest, Math.abs(one[i]));
      difference = Math.max(difference, Math.abs((double) one[i] - other[i]));
    }
    return difference / largest;
  }
}
