package io.faithfulsae.metrics.internal;

import io.faithfulsae.ActivationSource;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.metrics.Histogram;
import io.faithfulsae.metrics.LatentCorrelations;
import io.faithfulsae.metrics.LatentCorrelations.OfLatent;
import io.faithfulsae.metrics.LatentCorrelations.Options;
import io.faithfulsae.metrics.LatentCorrelations.Partner;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;

/**
 * Correlations between the latents of two SAEs. Activations are stored sparsely, and no matrix of
 * latents by latents is ever built.
 */
public final class CorrelatedLatents {
  private static final int BINS = 100;

  private final Sae a;
  private final Sae b;
  private final Options options;
  private final boolean within;
  private final SparseLatents ofA;
  private final SparseLatents ofB;
  private final double[] bestA; // NaN where no partner was seen
  private final double[] bestB;

  // The current latent of a against each latent of b.
  private final double[] products; // Σ z_i z_j
  private final int[] together; // rows on which both fire
  private final int[] touched; // latents of b that fire with it at least once

  /** Active latents row by row (CSR); those of row r start at {@code starts[r]}. */
  private static final class SparseLatents {
    private final long[] firings;
    private final double[] sums;
    private final double[] squares;
    private int[] starts = new int[1];
    private int rows;
    private int[] latents = new int[1024];
    private float[] values = new float[1024];

    SparseLatents(int dSae) {
      this.firings = new long[dSae];
      this.sums = new double[dSae];
      this.squares = new double[dSae];
    }

    void add(Latents batch) {
      IntBuffer indices = batch.indices();
      FloatBuffer z = batch.values();
      int[] begins = batch.starts();
      int needed = Math.addExact(rows, batch.rows()) + 1;
      if (starts.length < needed) {
        starts = Arrays.copyOf(starts, Math.max(needed, 2 * starts.length));
      }
      for (int r = 0; r < batch.rows(); r++) {
        int at = starts[rows];
        int entries = begins[r + 1] - begins[r];
        if (latents.length < Math.addExact(at, entries)) {
          int longer = (int) Math.min(Integer.MAX_VALUE - 8, 2L * latents.length + entries);
          latents = Arrays.copyOf(latents, longer);
          values = Arrays.copyOf(values, longer);
        }
        for (int i = begins[r]; i < begins[r + 1]; i++) {
          float value = z.get(i);
          if (value != 0) {
            int latent = indices.get(i);
            latents[at] = latent;
            values[at++] = value;
            firings[latent]++;
            sums[latent] += value;
            squares[latent] += (double) value * value;
          }
        }
        starts[++rows] = at;
      }
    }

    double variance(int latent) {
      return squares[latent] - sums[latent] * sums[latent] / rows;
    }

    int live() {
      return (int) Arrays.stream(firings).filter(count -> count > 0).count();
    }

    /**
     * The transpose (CSC): start of each latent, then the row and the index in {@code values} of
     * each entry.
     */
    int[][] byLatent() {
      int[] begin = new int[firings.length + 1];
      for (int latent = 0; latent < firings.length; latent++) {
        begin[latent + 1] = begin[latent] + (int) firings[latent];
      }
      int[] rowsOf = new int[starts[rows]];
      int[] placesOf = new int[starts[rows]];
      int[] next = begin.clone();
      for (int row = 0; row < rows; row++) {
        for (int at = starts[row]; at < starts[row + 1]; at++) {
          int to = next[latents[at]]++;
          rowsOf[to] = row;
          placesOf[to] = at;
        }
      }
      return new int[][] {begin, rowsOf, placesOf};
    }
  }

  private CorrelatedLatents(Sae a, Sae b, Options options) {
    this.a = a;
    this.b = b;
    this.options = options;
    this.within = a.origin() == b.origin();
    this.ofA = new SparseLatents(a.config().dSae());
    this.ofB = new SparseLatents(b.config().dSae());
    this.bestA = new double[a.config().dSae()];
    this.bestB = new double[b.config().dSae()];
    Arrays.fill(bestA, Double.NaN);
    Arrays.fill(bestB, Double.NaN);
    this.products = new double[bestB.length];
    this.together = new int[bestB.length];
    this.touched = new int[bestB.length];
  }

  /** Reads rows and correlates. */
  public static LatentCorrelations of(Sae a, Sae b, ActivationSource source, Options options)
      throws IOException {
    LatentDirections.requireLatents(a, options.latents());
    LatentDirections.requireOneWidth(a, b);
    return new CorrelatedLatents(a, b, options).correlate(source);
  }

  private LatentCorrelations correlate(ActivationSource source) throws IOException {
    List<Sae> both = List.of(a, b);
    List<SparseLatents> sparse = List.of(ofA, ofB);
    try (SharedEncoding encoding = new SharedEncoding(both)) {
      RowPasses.read(
          HookRows.backendOf(both),
          source,
          options.maxRows(),
          (in, room) -> encoding.encode(in, (i, latents) -> sparse.get(i).add(latents)));
    }
    List<List<Partner>> kept = new ArrayList<>();
    options.latents().forEach(latent -> kept.add(List.of()));
    int[][] columns = ofA.byLatent();
    for (int i = 0; i < bestA.length; i++) {
      int count = products(i, columns);
      int wanted = options.latents().indexOf(i);
      List<Partner> partners = new ArrayList<>();
      for (int t = 0; t < count; t++) {
        int j = touched[t];
        if (!(within && i == j)) {
          double correlation = correlation(i, j);
          bestA[i] = larger(bestA[i], correlation);
          bestB[j] = larger(bestB[j], correlation);
          if (wanted >= 0) {
            double either = ofA.firings[i] + ofB.firings[j] - together[j];
            partners.add(new Partner(j, correlation, together[j] / either, 0));
          }
        }
        products[j] = 0;
        together[j] = 0;
      }
      if (wanted >= 0) {
        kept.set(wanted, best(partners));
      }
    }
    return result(source.description(), kept);
  }

  /** Computes Σ z_i z_j and the number of rows on which both fire, for all j that fire with i. */
  private int products(int i, int[][] columns) {
    int count = 0;
    for (int c = columns[0][i]; c < columns[0][i + 1]; c++) {
      int row = columns[1][c];
      float z = ofA.values[columns[2][c]];
      for (int at = ofB.starts[row]; at < ofB.starts[row + 1]; at++) {
        int j = ofB.latents[at];
        if (together[j]++ == 0) {
          touched[count++] = j;
        }
        products[j] += (double) z * ofB.values[at];
      }
    }
    return count;
  }

  private double correlation(int i, int j) {
    double covariance = products[j] - ofA.sums[i] * ofB.sums[j] / ofA.rows;
    double first = ofA.variance(i);
    double second = ofB.variance(j);
    return first > 0 && second > 0 ? covariance / Math.sqrt(first * second) : 0;
  }

  private static double larger(double best, double other) {
    return Double.isNaN(best) || other > best ? other : best;
  }

  private List<Partner> best(List<Partner> partners) {
    return partners.stream()
        .sorted(
            Comparator.comparingDouble((Partner each) -> -each.correlation())
                .thenComparingInt(Partner::latent))
        .limit(options.others())
        .toList();
  }

  private LatentCorrelations result(String source, List<List<Partner>> kept) {
    double[] liveA = live(bestA, ofA);
    double[] liveB = live(bestB, ofB);
    LatentDirections directions = new LatentDirections(a, options.latents());
    List<OfLatent> latents = new ArrayList<>();
    for (int c = 0; c < options.latents().size(); c++) {
      int place = c;
      latents.add(
          new OfLatent(
              options.latents().get(c),
              kept.get(c).stream()
                  .map(
                      each ->
                          new Partner(
                              each.latent(),
                              each.correlation(),
                              each.jaccard(),
                              directions.cosine(place, b, each.latent())))
                  .toList(),
              directions.nearest(c, b, options.others())));
    }
    return new LatentCorrelations(
        source,
        ofA.rows,
        bestA.length,
        bestB.length,
        ofA.live(),
        ofB.live(),
        options.threshold(),
        shareAbove(liveA),
        shareAbove(liveB),
        DoubleStream.of(liveA).average().orElse(0),
        DoubleStream.of(liveB).average().orElse(0),
        Histogram.of(liveA, -1, 1, BINS),
        Histogram.of(liveB, -1, 1, BINS),
        latents);
  }

  private static double[] live(double[] best, SparseLatents fired) {
    return IntStream.range(0, best.length)
        .filter(latent -> fired.firings[latent] > 0)
        .mapToDouble(latent -> Double.isNaN(best[latent]) ? 0 : best[latent])
        .toArray();
  }

  private double shareAbove(double[] best) {
    return best.length == 0
        ? 0
        : (double) DoubleStream.of(best).filter(c -> c > options.threshold()).count() / best.length;
  }
}
