package io.faithfulsae.metrics.internal;

import io.faithfulsae.Activation;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.Histogram;
import io.faithfulsae.metrics.Reconstruction;
import io.faithfulsae.metrics.Reconstruction.Block;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Computes a {@link Reconstruction} for each SAE in one pass over rows. */
public final class Reconstructions {
  private final Sae sae;
  private final int width; // of x and x̂
  private final ColumnMoments inputs;
  private final ColumnMoments residuals;
  private final RowBlocks blocks;
  private final long[] firings;
  private final float[] x;
  private final float[] residual; // x̂ at first, then x − x̂
  private long rows;
  private long nonZeroRows;
  private double squaredError;
  private double norms;
  private double ratios;
  private double cosines;

  private Reconstructions(Sae sae, int batchRows) {
    this.sae = sae;
    this.width = sae.config().dOut();
    this.inputs = new ColumnMoments(width);
    this.residuals = new ColumnMoments(width);
    this.blocks = new RowBlocks(width);
    this.firings = new long[sae.config().dSae()];
    this.x = new float[batchRows * width];
    this.residual = new float[batchRows * width];
  }

  /** Sees the latents of each batch. */
  interface LatentsListener {
    /**
     * Called when a batch has been encoded.
     *
     * @param sae index of the SAE in the list
     * @param firstRow number of the batch's first row
     */
    void encoded(int sae, long firstRow, Latents latents);
  }

  /** Reads at most {@code maxRows} rows and measures their reconstruction. */
  public static List<Reconstruction> measure(List<Sae> saes, ActivationSource source, long maxRows)
      throws IOException {
    return measure(saes, source, maxRows, (sae, firstRow, latents) -> {});
  }

  /** Measures how well transcoders predict targets. */
  public static List<Reconstruction> measure(
      List<Sae> saes, ActivationSource source, ActivationSource targets, long maxRows)
      throws IOException {
    for (Sae sae : saes) {
      if (sae.config().dOut() != targets.dIn()) {
        throw new IllegalArgumentException(
            Expected.message(
                "targets of width " + sae.config().dOut(),
                targets.dIn(),
                "use the activations that this transcoder was trained to predict"));
      }
    }
    return measure(saes, source, targets, maxRows, (sae, firstRow, latents) -> {});
  }

  /** Measures as above and passes the latents of each batch to a listener. */
  static List<Reconstruction> measure(
      List<Sae> saes, ActivationSource source, long maxRows, LatentsListener listener)
      throws IOException {
    Targets.requireAutoencoders(
        saes, "its reconstruction", "use Metrics.reconstruction(saes, source, targets, maxRows)");
    return measure(saes, source, null, maxRows, listener);
  }

  private static List<Reconstruction> measure(
      List<Sae> saes,
      ActivationSource source,
      @Nullable ActivationSource targets,
      long maxRows,
      LatentsListener listener)
      throws IOException {
    Backend backend = HookRows.backendOf(saes);
    int capacity = RowPasses.capacity(maxRows);
    List<Reconstructions> all =
        saes.stream().map(sae -> new Reconstructions(sae, capacity)).toList();
    try (SharedEncoding encoding = new SharedEncoding(saes)) {
      RowPasses.read(
          backend,
          source,
          targets,
          maxRows,
          (in, target, out) ->
              encoding.encode(
                  in,
                  (i, latents) -> {
                    listener.encoded(i, all.get(i).rows, latents);
                    saes.get(i).decode(latents, in, out);
                    all.get(i).add(target, latents, out);
                  }));
    }
    String described =
        source.description() + (targets == null ? "" : " to " + targets.description());
    return all.stream().map(each -> each.result(described)).toList();
  }

  private void add(ActivationBatch target, Latents latents, ActivationBatch out) {
    int count = target.rows();
    target.data().get(0, x, 0, count * width);
    out.data().get(0, residual, 0, count * width);
    for (int r = 0; r < count; r++) {
      addRow(r * width);
    }
    inputs.add(x, count);
    residuals.add(residual, count);
    addFirings(latents);
    rows += count;
  }

  private void addRow(int at) {
    double xx = 0;
    double yy = 0;
    double xy = 0;
    double error = 0;
    for (int i = at; i < at + width; i++) {
      double a = x[i];
      double b = residual[i];
      xx += a * a;
      yy += b * b;
      xy += a * b;
      error += (a - b) * (a - b);
      residual[i] = x[i] - residual[i];
    }
    squaredError += error;
    blocks.add(x, at, error);
    norms += Math.sqrt(xx);
    if (xx > 0) {
      nonZeroRows++;
      ratios += Math.sqrt(yy / xx);
      cosines += yy > 0 ? xy / (Math.sqrt(xx) * Math.sqrt(yy)) : 0;
    }
  }

  private void addFirings(Latents latents) {
    IntBuffer indices = latents.indices();
    FloatBuffer values = latents.values();
    int entries = latents.entries();
    for (int i = 0; i < entries; i++) {
      if (values.get(i) != 0) {
        firings[indices.get(i)]++;
      }
    }
  }

  private Reconstruction result(String source) {
    long fired = Arrays.stream(firings).filter(f -> f > 0).count();
    int dead = (int) (firings.length - fired);
    List<Block> parts = blocks.around(inputs.means());
    SequenceSums sums = new SequenceSums(2);
    parts.forEach(part -> sums.add(part.squaredError(), part.variance()));
    double[] totals = sums.totals();
    double fvu = unexplained(totals[0], totals[1]);
    double scalar = unexplained(residuals.aroundGrandMean(), inputs.aroundGrandMean());
    double[] logDensity =
        Arrays.stream(firings)
            .filter(f -> f > 0)
            .mapToDouble(f -> Math.log10((double) f / rows))
            .toArray();
    Activation activation = sae.config().activation();
    return new Reconstruction(
        source,
        rows,
        sae.config().dSae(),
        activation.latentsPerRow().isPresent() ? sae.config().k() : null,
        activation instanceof TopK ? null : activation.label(),
        norms / rows,
        squaredError / ((double) rows * width),
        nonZeroRows == 0 ? 0 : ratios / nonZeroRows,
        nonZeroRows == 0 ? 0 : cosines / nonZeroRows,
        1 - scalar,
        fvu,
        1 - fvu,
        sums.intervals(s -> 1 - unexplained(s[0], s[1]))[0],
        (double) Arrays.stream(firings).sum() / rows,
        dead,
        (double) dead / firings.length,
        Histogram.of(logDensity, -6, 0, 60),
        parts);
  }

  private static double unexplained(double left, double total) {
    if (total > 0) {
      return left / total;
    }
    return left > 0 ? Double.POSITIVE_INFINITY : 0;
  }
}
