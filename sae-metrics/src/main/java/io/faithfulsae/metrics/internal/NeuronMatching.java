package io.faithfulsae.metrics.internal;

import io.faithfulsae.Sae;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.Histogram;
import io.faithfulsae.metrics.SharedFeatures.Directions;
import io.faithfulsae.metrics.SharedFeatures.Neurons;
import io.faithfulsae.metrics.SharedFeatures.Options;
import io.faithfulsae.metrics.SharedFeatures.Rank;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/** Cosines between the neurons of two SAEs, summed over blocks of latents. */
public final class NeuronMatching {
  private static final int BLOCK = 1024;
  private static final int BINS = 100;
  private static final int RANKS = 4;

  private NeuronMatching() {}

  /** A range of latents. */
  private record Block(int first, int count) {}

  /** Compares two SAEs of the same shape. */
  public static Neurons compare(Sae a, Sae b, Options options) {
    int width = FeatureMatching.width(a, options.directions());
    int dSae = a.config().dSae();
    if (FeatureMatching.width(b, options.directions()) != width || b.config().dSae() != dSae) {
      throw new IllegalArgumentException(
          Expected.message(
              "SAEs of the same shape",
              "[%d, %d] and [%d, %d]"
                  .formatted(
                      width,
                      dSae,
                      FeatureMatching.width(b, options.directions()),
                      b.config().dSae()),
              "compare SAEs with the same d_in and d_sae"));
    }
    HookRows.backendOf(List.of(a, b));
    double[][] products = new double[width][width];
    double[] normsA = new double[width];
    double[] normsB = new double[width];
    Backend backend = a.backend();
    try (DeviceBuffer left = backend.allocate((long) BLOCK * width * Float.BYTES);
        DeviceBuffer right = backend.allocate((long) BLOCK * width * Float.BYTES);
        DeviceBuffer product = backend.allocate((long) width * width * Float.BYTES)) {
      for (int first = 0; first < dSae; first += BLOCK) {
        Block latents = new Block(first, Math.min(BLOCK, dSae - first));
        readNeurons(a, options.directions(), latents, left, normsA);
        readNeurons(b, options.directions(), latents, right, normsB);
        backend.matmulTransposed(left, width, right, width, latents.count(), product);
        backend.synchronize();
        FloatBuffer sums = product.host().asFloatBuffer();
        for (int i = 0; i < width; i++) {
          for (int j = 0; j < width; j++) {
            products[i][j] += sums.get(i * width + j);
          }
        }
      }
    }
    for (int i = 0; i < width; i++) {
      for (int j = 0; j < width; j++) {
        double norm = Math.sqrt(normsA[i] * normsB[j]);
        products[i][j] = norm > 0 ? products[i][j] / norm : 0;
      }
    }
    return new Neurons(
        options.directions(),
        width,
        ranks(products, options.threshold()),
        ranks(transposed(products), options.threshold()));
  }

  /** Reads latents and transposes them into rows of neurons, {@code [width, count]}. */
  private static void readNeurons(
      Sae sae, Directions directions, Block block, DeviceBuffer into, double[] norms) {
    int count = block.count();
    int width = FeatureMatching.width(sae, directions);
    float[] latents = new float[count * width];
    switch (directions) {
      case DECODER -> sae.readDecoder(block.first(), FloatBuffer.wrap(latents));
      case ENCODER -> sae.readEncoder(block.first(), FloatBuffer.wrap(latents));
    }
    FloatBuffer neurons = into.host().asFloatBuffer();
    for (int i = 0; i < width; i++) {
      for (int latent = 0; latent < count; latent++) {
        float value = latents[latent * width + i];
        neurons.put(i * count + latent, value);
        norms[i] += (double) value * value;
      }
    }
  }

  private static double[][] transposed(double[][] matrix) {
    double[][] result = new double[matrix.length][matrix.length];
    for (int i = 0; i < matrix.length; i++) {
      for (int j = 0; j < matrix.length; j++) {
        result[j][i] = matrix[i][j];
      }
    }
    return result;
  }

  private static List<Rank> ranks(double[][] cosines, double threshold) {
    double[][] sorted = Arrays.stream(cosines).map(double[]::clone).toArray(double[][]::new);
    Arrays.stream(sorted).forEach(Arrays::sort);
    return IntStream.range(0, Math.min(RANKS, sorted.length))
        .mapToObj(
            rank -> {
              double[] values =
                  Arrays.stream(sorted).mapToDouble(row -> row[row.length - 1 - rank]).toArray();
              long above = Arrays.stream(values).filter(c -> c > threshold).count();
              return new Rank(
                  (double) above / values.length,
                  Bootstrap.mean(values),
                  Histogram.of(values, -1, 1, BINS));
            })
        .toList();
  }
}
