package io.faithfulsae.metrics.internal;

import io.faithfulsae.LanguageModel;
import io.faithfulsae.Latents;
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

/** One pass over text in which some latents are watched, and their directions looked at. */
public final class LatentDescriptions {
  private static final double LOG_LOW = -4;
  private static final double LOG_HIGH = 4;
  private static final int LOG_BINS = 80;

  private final Sae sae;
  private final Options options;
  private final List<Integer> chosen;
  private final int[] watchedAs; // place in chosen of each latent, or -1
  private final long[] firings;
  private final double[] sums;
  private final double[] squares;
  private final double[][] products; // [chosen][latents], Σ z_i z_j
  private final long[][] together; // [chosen][latents]
  private final double[] largest;
  private final long[][] logCounts;
  private final List<TopExamples> examples = new ArrayList<>();
  private final float[] active; // z of each chosen latent in the current row
  private long rows;
  private long sequences;

  private LatentDescriptions(Sae sae, List<Integer> chosen, Options options) {
    int latents = sae.config().dSae();
    this.sae = sae;
    this.options = options;
    this.chosen = chosen;
    this.watchedAs = new int[latents];
    this.firings = new long[latents];
    this.sums = new double[latents];
    this.squares = new double[latents];
    this.products = new double[chosen.size()][latents];
    this.together = new long[chosen.size()][latents];
    this.largest = new double[chosen.size()];
    this.logCounts = new long[chosen.size()][LOG_BINS];
    this.active = new float[chosen.size()];
    Arrays.fill(watchedAs, -1);
    for (int c = 0; c < chosen.size(); c++) {
      watchedAs[chosen.get(c)] = c;
      examples.add(new TopExamples(options.examples()));
    }
  }

  /** Describes latents, in the order given. */
  public static List<LatentDescription> of(
      Sae sae, List<Integer> chosen, ModelActivations activations, Options options)
      throws IOException {
    LatentDirections.requireLatents(sae, chosen);
    LatentDescriptions seen = new LatentDescriptions(sae, chosen, options);
    EncodedText.read(sae, activations, options.maxSequences(), seen::add);
    if (seen.rows == 0) {
      throw new IllegalArgumentException(
          "expected text of which the filter leaves some, got none from "
              + activations.text().description()
              + "; give more text, or another filter");
    }
    return seen.results(new LatentDirections(sae, chosen), activations.model());
  }

  private void add(int[][] tokens, HookRows hookRows, Latents latents) {
    int length = tokens[0].length;
    IntBuffer indices = latents.indices();
    FloatBuffer values = latents.values();
    float[][] bySequence = new float[chosen.size()][length];
    int at = 0;
    for (int s = 0; s < tokens.length; s++) {
      int first = at;
      for (float[] row : bySequence) {
        Arrays.fill(row, 0);
      }
      for (; at < hookRows.keptRows() && hookRows.position(at) / length == s; at++) {
        addRow(indices, values, latents.k(), at);
        for (int c = 0; c < active.length; c++) {
          bySequence[c][hookRows.position(at) % length] = active[c];
        }
      }
      for (int c = 0; c < active.length && at > first; c++) {
        examples.get(c).offer(sequences, tokens[s], bySequence[c]);
      }
      sequences++;
    }
  }

  private void addRow(IntBuffer indices, FloatBuffer values, int k, int row) {
    rows++;
    Arrays.fill(active, 0);
    for (int i = row * k; i < (row + 1) * k; i++) {
      float z = values.get(i);
      if (z > 0) {
        int latent = indices.get(i);
        firings[latent]++;
        sums[latent] += z;
        squares[latent] += (double) z * z;
        if (watchedAs[latent] >= 0) {
          active[watchedAs[latent]] = z;
        }
      }
    }
    for (int c = 0; c < active.length; c++) {
      if (active[c] > 0) {
        largest[c] = Math.max(largest[c], active[c]);
        double bin = (Math.log10(active[c]) - LOG_LOW) / (LOG_HIGH - LOG_LOW) * LOG_BINS;
        logCounts[c][Math.max(0, Math.min(LOG_BINS - 1, (int) Math.floor(bin)))]++;
        for (int i = row * k; i < (row + 1) * k; i++) {
          float z = values.get(i);
          if (z > 0) {
            products[c][indices.get(i)] += (double) active[c] * z;
            together[c][indices.get(i)]++;
          }
        }
      }
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
              firings[latent] == 0 ? 0 : sums[latent] / firings[latent],
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
