package io.faithfulsae.metrics.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.metrics.LatentStatistics;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Measures how much each latent is used, in one pass over rows. */
public final class LatentUse {
  private final Sae sae;
  private final int dIn;
  private final long[] firings;
  private final double[] sums; // Σ |z|
  private final double[] losses; // Σ growth of the squared error without the latent
  private final float[] @Nullable [] directions; // loaded when a latent first fires
  private long rows;

  private LatentUse(Sae sae) {
    int dSae = sae.config().dSae();
    this.sae = sae;
    this.dIn = sae.config().dIn();
    this.firings = new long[dSae];
    this.sums = new double[dSae];
    this.losses = new double[dSae];
    this.directions = new float[dSae][];
  }

  /** Reads at most {@code maxRows} rows. */
  public static List<LatentStatistics> of(List<Sae> saes, ActivationSource source, long maxRows)
      throws IOException {
    Targets.requireAutoencoders(saes, "the use of latents", "measure an autoencoder");
    List<LatentUse> all = saes.stream().map(LatentUse::new).toList();
    try (SharedEncoding encoding = new SharedEncoding(saes)) {
      RowPasses.read(
          HookRows.backendOf(saes),
          source,
          maxRows,
          (in, out) ->
              encoding.encode(
                  in,
                  (i, latents) -> {
                    saes.get(i).decode(latents, out);
                    all.get(i).add(in, latents, out);
                  }));
    }
    return all.stream().map(each -> each.result(source.description())).toList();
  }

  private void add(ActivationBatch in, Latents latents, ActivationBatch out) {
    IntBuffer indices = latents.indices();
    FloatBuffer values = latents.values();
    float[] x = new float[dIn];
    float[] error = new float[dIn];
    int[] starts = latents.starts();
    for (int r = 0; r < latents.rows(); r++) {
      in.data().get(r * dIn, x);
      out.data().get(r * dIn, error);
      for (int i = 0; i < dIn; i++) {
        error[i] = x[i] - error[i];
      }
      double scale = latents.scale(r);
      for (int at = starts[r]; at < starts[r + 1]; at++) {
        float z = values.get(at);
        if (z != 0) {
          int latent = indices.get(at);
          firings[latent]++;
          sums[latent] += Math.abs(z);
          losses[latent] += growth(error, direction(latent), scale * z);
        }
      }
    }
    rows += latents.rows();
  }

  /** ‖e + s d‖² − ‖e‖². */
  private static double growth(float[] error, float[] direction, double size) {
    double along = 0;
    double norm = 0;
    for (int i = 0; i < error.length; i++) {
      along += (double) error[i] * direction[i];
      norm += (double) direction[i] * direction[i];
    }
    return 2 * size * along + size * size * norm;
  }

  private float[] direction(int latent) {
    float[] known = directions[latent];
    if (known == null) {
      known = sae.decoderDirection(latent);
      directions[latent] = known;
    }
    return known;
  }

  private LatentStatistics result(String source) {
    List<Double> frequency = new ArrayList<>();
    List<Double> mean = new ArrayList<>();
    for (int latent = 0; latent < firings.length; latent++) {
      frequency.add((double) firings[latent] / rows);
      mean.add(firings[latent] == 0 ? 0 : sums[latent] / firings[latent]);
    }
    return new LatentStatistics(
        source, rows, frequency, mean, Arrays.stream(losses).mapToObj(sum -> sum / rows).toList());
  }
}
