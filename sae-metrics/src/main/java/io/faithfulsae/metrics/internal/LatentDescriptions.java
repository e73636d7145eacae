package io.faithfulsae.metrics.internal;

import io.faithfulsae.LanguageModel;
import io.faithfulsae.Sae;
import io.faithfulsae.metrics.Histogram;
import io.faithfulsae.metrics.LatentDescription;
import io.faithfulsae.metrics.LatentDescription.Correlated;
import io.faithfulsae.metrics.LatentDescription.Options;
import io.faithfulsae.metrics.ModelActivations;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/** Describes latents from one pass over text and from their decoder directions. */
public final class LatentDescriptions implements EncodedText.Visitor {
  private static final double LOG_LOW = -4;
  private static final double LOG_HIGH = 4;
  private static final int LOG_BINS = 80;

  private final Sae sae;
  private final Options options;
  private final List<Integer> chosen;
  private final long[] firings;
  private final double[] sums;
  private final double[] squares;
  private final double[][] products; // [chosen][latents], Σ z_i z_j
  private final long[][] together; // [chosen][latents]
  private final double[] sizes; // [chosen], Σ |z|
  private final double[] largest; // [chosen], of |z|
  private final long[][] logCounts;
  private final List<TopExamples> examples = new ArrayList<>();
  private long rows;

  private LatentDescriptions(Sae sae, List<Integer> chosen, Options options) {
    int latents = sae.config().dSae();
    this.sae = sae;
    this.options = options;
    this.chosen = chosen;
    this.firings = new long[latents];
    this.sums = new double[latents];
    this.squares = new double[latents];
    this.products = new double[chosen.size()][latents];
    this.together = new long[chosen.size()][latents];
    this.sizes = new double[chosen.size()];
    this.largest = new double[chosen.size()];
    this.logCounts = new long[chosen.size()][LOG_BINS];
    chosen.forEach(latent -> examples.add(new TopExamples(options.examples())));
  }

  /** Describes latents, in the order given. */
  public static List<LatentDescription> of(
      Sae sae, List<Integer> chosen, ModelActivations activations, Options options)
      throws IOException {
    LatentDescriptions seen = new LatentDescriptions(sae, chosen, options);
    EncodedText.read(sae, chosen, activations, options.maxSequences(), seen);
    if (seen.rows == 0) {
      throw EncodedText.nothingKept(activations.text());
    }
    return seen.results(new LatentDirections(sae, chosen), activations.model());
  }

  @Override
  public void row(IntBuffer latents, FloatBuffer z, int from, int to, float[] chosenZ) {
    rows++;
    for (int i = from; i < to; i++) {
      float value = z.get(i);
      if (value != 0) {
        int latent = latents.get(i);
        firings[latent]++;
        sums[latent] += value;
        squares[latent] += (double) value * value;
      }
    }
    for (int c = 0; c < chosenZ.length; c++) {
      float size = Math.abs(chosenZ[c]);
      if (size > 0) {
        sizes[c] += size;
        largest[c] = Math.max(largest[c], size);
        double bin = (Math.log10(size) - LOG_LOW) / (LOG_HIGH - LOG_LOW) * LOG_BINS;
        logCounts[c][Math.max(0, Math.min(LOG_BINS - 1, (int) Math.floor(bin)))]++;
        for (int i = from; i < to; i++) {
          float value = z.get(i);
          if (value != 0) {
            products[c][latents.get(i)] += (double) chosenZ[c] * value;
            together[c][latents.get(i)]++;
          }
        }
      }
    }
  }

  @Override
  public void sequence(long number, int[] tokens, float[][] chosenZ) {
    for (int c = 0; c < chosenZ.length; c++) {
      examples.get(c).offer(number, tokens, chosenZ[c]);
    }
  }

  private List<LatentDescription> results(LatentDirections directions, LanguageModel model) {
    List<LatentDirections.Effects> effects = directions.effects(model, largest, options.tokens());
    List<LatentDescription> all = new ArrayList<>();
    for (int c = 0; c < chosen.size(); c++) {
      int latent = chosen.get(c);
      all.add(
          new LatentDescription(
              latent,
              rows,
              (double) firings[latent] / rows,
              firings[latent] == 0 ? 0 : sizes[c] / firings[latent],
              largest[c],
              new Histogram(LOG_LOW, LOG_HIGH, Arrays.stream(logCounts[c]).boxed().toList()),
              examples.get(c).list(),
              directions.nearest(c, sae, options.others()),
              correlated(c),
              effects.get(c).raised(),
              effects.get(c).lowered()));
    }
    return all;
  }

  private List<Correlated> correlated(int c) {
    int latent = chosen.get(c);
    return IntStream.range(0, sae.config().dSae())
        .filter(other -> other != latent && together[c][other] > 0)
        .mapToObj(
            other ->
                new Correlated(
                    other,
                    correlation(c, other),
                    (double) together[c][other]
                        / (firings[latent] + firings[other] - together[c][other])))
        .sorted(
            Comparator.comparingDouble((Correlated each) -> -each.correlation())
                .thenComparingInt(Correlated::latent))
        .limit(options.others())
        .toList();
  }

  private double correlation(int c, int other) {
    int latent = chosen.get(c);
    double covariance = products[c][other] - sums[latent] * sums[other] / rows;
    double first = squares[latent] - sums[latent] * sums[latent] / rows;
    double second = squares[other] - sums[other] * sums[other] / rows;
    return first > 0 && second > 0 ? covariance / Math.sqrt(first * second) : 0;
  }
}
