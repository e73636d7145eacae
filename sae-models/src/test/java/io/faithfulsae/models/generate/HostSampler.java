package io.faithfulsae.models.generate;

import java.nio.FloatBuffer;

/** The host's sampler, for tests in other packages. */
public final class HostSampler {
  private HostSampler() {}

  public static int[] draw(
      FloatBuffer probabilities, int vocabulary, double topP, double... uniform) {
    Sampler sampler = new Sampler(vocabulary, topP);
    int[] drawn = new int[uniform.length];
    for (int row = 0; row < drawn.length; row++) {
      drawn[row] = sampler.draw(probabilities, row, uniform[row]);
    }
    return drawn;
  }
}
