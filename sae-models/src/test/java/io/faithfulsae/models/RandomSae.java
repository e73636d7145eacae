package io.faithfulsae.models;

import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.nio.FloatBuffer;
import java.util.Random;

/** SAEs with Gaussian parameters, every tensor different from 0. */
final class RandomSae {
  private RandomSae() {}

  /** To be closed by the caller. */
  static Sae create(SaeConfig config, Backend on, long seed) {
    Sae sae = Sae.create(config, on);
    for (Tensor tensor : config.shape().tensors()) {
      int size = Math.toIntExact(config.shape().elements(tensor));
      float[] values = gaussian(seed + 100L * tensor.ordinal(), size);
      for (int i = 0; i < size; i++) {
        values[i] = tensor == Tensor.THRESHOLD ? Math.abs(values[i]) : 0.5f * values[i];
      }
      sae.parameters().write(tensor, 0, direct(values));
    }
    return sae;
  }

  static float[] gaussian(long seed, int size) {
    Random random = new Random(seed);
    float[] values = new float[size];
    for (int i = 0; i < size; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  static FloatBuffer direct(float[] values) {
    return DirectBuffers.floats(values.length).put(values).flip();
  }
}
