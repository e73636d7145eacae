package io.faithfulsae.metrics.internal;

import io.faithfulsae.Sae;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.Assignment;
import io.faithfulsae.metrics.Histogram;
import io.faithfulsae.metrics.SharedFeatures;
import io.faithfulsae.metrics.SharedFeatures.Directions;
import io.faithfulsae.metrics.SharedFeatures.Options;
import io.faithfulsae.metrics.SharedFeatures.Rank;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;

/** Cosines between the directions of two SAEs, best partners and best one-to-one matching. */
public final class FeatureMatching {
  private static final System.Logger LOG = System.getLogger(FeatureMatching.class.getName());
  private static final long BLOCK_BYTES = 64L << 20;
  private static final long NOTEWORTHY_BYTES = 64L << 20;
  private static final int COSINE_BINS = 100;
  private static final int RANKS = 4;

  private FeatureMatching() {}

  /** Compares the directions of two SAEs. */
  public static SharedFeatures compare(Sae a, Sae b, Options options) {
    double threshold = options.threshold();
    check(a, b, threshold);
    if (a.config().dSae() > b.config().dSae()) {
      return swap(compare(b, a, options));
    }
    float[][] cosines = cosines(a, b, options.directions());
    int columns = b.config().dSae();
    double[][] ranksA = new double[Math.min(RANKS, columns)][cosines.length];
    double[][] ranksB = new double[Math.min(RANKS, cosines.length)][columns];
    for (double[][] ranks : List.of(ranksA, ranksB)) {
      Arrays.stream(ranks).forEach(rank -> Arrays.fill(rank, -1));
    }
    for (int i = 0; i < cosines.length; i++) {
      float[] row = cosines[i];
      for (int j = 0; j < columns; j++) {
        insert(ranksA, i, row[j]);
        insert(ranksB, j, row[j]);
      }
    }
    double[] bestOfA = ranksA[0];
    double[] bestOfB = ranksB[0];
    int[] partner = Assignment.maximumSum(cosines, options.onMatched());
    double[] matched = new double[partner.length];
    for (int i = 0; i < partner.length; i++) {
      matched[i] = cosines[i][partner[i]];
    }
    return new SharedFeatures(
        options.directions(),
        threshold,
        a.config().dSae(),
        b.config().dSae(),
        shareAbove(bestOfA, threshold),
        shareAbove(bestOfB, threshold),
        shareAbove(matched, threshold),
        matched.length,
        Bootstrap.mean(bestOfA),
        Bootstrap.mean(bestOfB),
        Bootstrap.mean(matched),
        Histogram.of(bestOfA, -1, 1, COSINE_BINS),
        Histogram.of(bestOfB, -1, 1, COSINE_BINS),
        Histogram.of(matched, -1, 1, COSINE_BINS),
        ranks(ranksA, threshold),
        ranks(ranksB, threshold));
  }

  /** Inserts a cosine into a latent's largest ones; {@code ranks[0]} holds the largest. */
  private static void insert(double[][] ranks, int latent, double cosine) {
    double rest = cosine;
    for (int rank = 0; rank < ranks.length && rest > ranks[ranks.length - 1][latent]; rank++) {
      double here = ranks[rank][latent];
      ranks[rank][latent] = Math.max(here, rest);
      rest = Math.min(here, rest);
    }
  }

  private static List<Rank> ranks(double[][] ranks, double threshold) {
    return Arrays.stream(ranks)
        .map(
            cosines ->
                new Rank(
                    shareAbove(cosines, threshold),
                    Bootstrap.mean(cosines),
                    Histogram.of(cosines, -1, 1, COSINE_BINS)))
        .toList();
  }

  static void check(Sae a, Sae b, double threshold) {
    if (a.config().dIn() != b.config().dIn()) {
      throw new IllegalArgumentException(
          Expected.message(
              "SAEs of the same width",
              "d_in = " + a.config().dIn() + " and " + b.config().dIn(),
              "compare SAEs trained at the same hook point"));
    }
    LatentDirections.requireOneWidth(a, b);
    if (!(threshold >= -1 && threshold <= 1)) {
      throw new IllegalArgumentException(
          Expected.message("threshold in [-1, 1]", threshold, "give a cosine, such as 0.7"));
    }
    checkHeap(a.config().dSae(), b.config().dSae());
  }

  private static void checkHeap(int rows, int columns) {
    long needed = SharedFeatures.bytesNeeded(rows, columns);
    LOG.log(
        needed >= NOTEWORTHY_BYTES ? System.Logger.Level.INFO : System.Logger.Level.DEBUG,
        "comparing {0} with {1} latents needs {2} MiB of heap",
        rows,
        columns,
        needed >> 20);
    if (needed > freeHeap()) {
      System.gc(); // the matrix of an earlier comparison may still count as used
      long free = freeHeap();
      if (needed > free) {
        throw new IllegalArgumentException(
            Expected.message(
                "%d MiB of free heap for the cosines of %d x %d latents"
                    .formatted(needed >> 20, rows, columns),
                (free >> 20) + " MiB",
                "start java with a larger -Xmx"));
      }
    }
  }

  private static long freeHeap() {
    Runtime heap = Runtime.getRuntime();
    return heap.maxMemory() - heap.totalMemory() + heap.freeMemory();
  }

  private static SharedFeatures swap(SharedFeatures s) {
    return new SharedFeatures(
        s.directions(),
        s.threshold(),
        s.dSaeB(),
        s.dSaeA(),
        s.topOneB(),
        s.topOneA(),
        s.matched(),
        s.matchedPairs(),
        s.meanTopOneB(),
        s.meanTopOneA(),
        s.meanMatched(),
        s.topOneCosinesB(),
        s.topOneCosinesA(),
        s.matchedCosines(),
        s.ranksB(),
        s.ranksA());
  }

  static double shareAbove(double[] cosines, double threshold) {
    return (double) Arrays.stream(cosines).filter(c -> c > (float) threshold).count()
        / cosines.length;
  }

  /** Multiplies blocks of a's unit rows by all of b's, so that only the result is on the heap. */
  static float[][] cosines(Sae a, Sae b, Directions directions) {
    Backend backend = a.backend();
    int width = width(a, directions);
    int rows = a.config().dSae();
    int columns = b.config().dSae();
    int blockRows = (int) Math.max(1, Math.min(rows, BLOCK_BYTES / Float.BYTES / columns));
    float[][] cosines = new float[rows][columns];
    try (DeviceBuffer left = backend.allocate((long) blockRows * width * Float.BYTES);
        DeviceBuffer right = backend.allocate((long) columns * width * Float.BYTES);
        DeviceBuffer product = backend.allocate((long) blockRows * columns * Float.BYTES)) {
      readUnitRows(b, directions, 0, columns, right);
      for (int first = 0; first < rows; first += blockRows) {
        int count = Math.min(blockRows, rows - first);
        readUnitRows(a, directions, first, count, left);
        backend.matmulTransposed(left, count, right, columns, width, product);
        backend.synchronize();
        FloatBuffer block = product.host().asFloatBuffer();
        for (int i = 0; i < count; i++) {
          block.get(i * columns, cosines[first + i]);
        }
      }
    }
    return cosines;
  }

  static int width(Sae sae, Directions directions) {
    return directions == Directions.DECODER ? sae.config().dOut() : sae.config().dIn();
  }

  private static void readUnitRows(
      Sae sae, Directions directions, int first, int count, DeviceBuffer into) {
    int width = width(sae, directions);
    FloatBuffer rows = into.host().asFloatBuffer().limit(count * width);
    switch (directions) {
      case DECODER -> sae.readDecoder(first, rows);
      case ENCODER -> sae.readEncoder(first, rows);
    }
    float[] row = new float[width];
    for (int r = 0; r < count; r++) {
      rows.get(r * width, row);
      double squares = 0;
      for (float value : row) {
        squares += (double) value * value;
      }
      if (!Double.isFinite(squares)) {
        throw new IllegalArgumentException(
            Expected.message(
                "finite directions",
                "NaN or infinity in latent " + (first + r),
                "this SAE is damaged, train it again"));
      }
      double scale = squares == 0 ? 0 : 1 / Math.sqrt(squares);
      for (int i = 0; i < width; i++) {
        row[i] = (float) (row[i] * scale);
      }
      rows.put(r * width, row);
    }
  }
}
