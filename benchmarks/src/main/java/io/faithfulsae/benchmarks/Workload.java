package io.faithfulsae.benchmarks;

import io.faithfulsae.io.Expected;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import java.util.Arrays;

/**
 * One shape with its activations and initial weights: the same numbers for every benchmark here
 * and, through {@link PeerData}, for the other libraries.
 *
 * <p>Rows are sums of sixteen out of {@code 4 dIn} directions plus noise, so that latents fire
 * unevenly, as on a language model; weights are initialized as in {@code torch.nn.Linear}.
 *
 * @param rows rows of a batch
 * @param dIn width of the activations
 * @param dSae number of latents
 * @param k active latents per row
 */
public record Workload(int rows, int dIn, int dSae, int k) {
  private static final int ACTIVE_DIRECTIONS = 16;
  private static final double NOISE = 0.1;

  /** A small model, in the format of the benchmarks' {@code shape} parameter. */
  public static final String GPT2_TINY = "2048x288x4608x32";

  /** GPT-2 small. */
  public static final String GPT2_SMALL = "1024x768x12288x16";

  /** Parses {@code ROWSxD_INxD_SAExK}. */
  public static Workload parse(String text) {
    int[] sizes = Arrays.stream(text.split("x", -1)).mapToInt(Integer::parseInt).toArray();
    if (sizes.length != 4) {
      throw new IllegalArgumentException(
          Expected.message("ROWSxD_INxD_SAExK", '"' + text + '"', "write it like " + GPT2_TINY));
    }
    return new Workload(sizes[0], sizes[1], sizes[2], sizes[3]);
  }

  /** Activations, <b>Shape</b> {@code [rows, dIn]}. */
  public float[] activations() {
    Rng rng = new Rng(Purpose.TRIALS, 1);
    int directions = 4 * dIn;
    float[][] dictionary = new float[directions][dIn];
    for (float[] direction : dictionary) {
      for (int i = 0; i < dIn; i++) {
        direction[i] = (float) (rng.nextGaussian() / Math.sqrt(dIn));
      }
    }
    float[] x = new float[rows * dIn];
    for (int row = 0; row < rows; row++) {
      for (int a = 0; a < ACTIVE_DIRECTIONS; a++) {
        // The square of a uniform number favors low indices: few directions are common, most rare.
        double u = rng.nextDouble();
        float[] direction = dictionary[(int) (u * u * directions)];
        float strength = (float) (1 + rng.nextDouble());
        for (int i = 0; i < dIn; i++) {
          x[row * dIn + i] += strength * direction[i];
        }
      }
      for (int i = 0; i < dIn; i++) {
        x[row * dIn + i] += (float) (NOISE * rng.nextGaussian() / Math.sqrt(dIn));
      }
    }
    return x;
  }

  /** Initial encoder, <b>Shape</b> {@code [dSae, dIn]}: uniform in ±1/sqrt(dIn). */
  public float[] encoder() {
    Rng rng = new Rng(Purpose.TRIALS, 2);
    double bound = 1 / Math.sqrt(dIn);
    float[] weights = new float[dSae * dIn];
    for (int i = 0; i < weights.length; i++) {
      weights[i] = (float) ((2 * rng.nextDouble() - 1) * bound);
    }
    return weights;
  }

  /** Initial decoder, <b>Shape</b> {@code [dSae, dIn]}: the encoder with rows of unit norm. */
  public float[] decoder() {
    float[] weights = encoder();
    for (int j = 0; j < dSae; j++) {
      double squares = 0;
      for (int i = 0; i < dIn; i++) {
        squares += (double) weights[j * dIn + i] * weights[j * dIn + i];
      }
      float scale = (float) (1 / Math.sqrt(squares));
      for (int i = 0; i < dIn; i++) {
        weights[j * dIn + i] *= scale;
      }
    }
    return weights;
  }

  @Override
  public String toString() {
    return rows + "x" + dIn + "x" + dSae + "x" + k;
  }
}
