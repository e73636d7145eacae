package io.faithfulsae.javabackend.internal;

import io.faithfulsae.javabackend.internal.DeadLatents.Sign;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.StepConfig;
import io.faithfulsae.spi.StepConfig.Prefix;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/** The forward and backward pass of a batch, or of a part of one. */
final class Pass {
  private final JavaSae sae;
  private final Selection.Rule rule;
  private final StepConfig config;
  private final Workers workers;
  private final Batch batch;
  private final int rows;
  private final int dOut;
  private final List<Prefix> prefixes; // the last one has all latents
  private final float[] rank;

  Pass(JavaSae sae, Selection selection, StepConfig config, Batch batch) {
    this.sae = sae;
    this.rule = selection.rule();
    this.config = config;
    this.workers = sae.backend.workers();
    this.batch = batch;
    this.rows = batch.rows();
    this.dOut = sae.shape().dOut();
    this.prefixes =
        config.prefixes().isEmpty() ? List.of(new Prefix(sae.dSae(), 1)) : config.prefixes();
    this.rank = rank();
  }

  /** What values are multiplied by before they are compared. */
  private float[] rank() {
    float[] factors = new float[sae.dSae()];
    Arrays.fill(factors, 1);
    if (config.rankByNorm()) {
      workers.forEachRange(
          factors.length,
          64,
          (first, end) -> {
            for (int j = first; j < end; j++) {
              factors[j] = (float) Math.sqrt(Vectors.squares(sae.wDec()[j]));
            }
          });
    }
    return factors;
  }

  /**
   * Runs it and adds its losses to the totals.
   *
   * @param k latents kept per row
   * @return its gradient, times its rows
   */
  Gradient run(Selection selection, int k, IdleCounters idle, Totals totals) {
    Kept kept =
        new Encoder(sae, selection, k, Long.MAX_VALUE).keep(rows, row -> batch.in()[row], rank);
    totals.count(kept, rank);
    float[][][] errors = errors(kept);
    float[][] error = errors[errors.length - 1];
    double squaredError = RowSums.of(workers, error, Vectors::squares);
    double variance = RowSums.squaresAboutMean(workers, batch.target(), dOut);
    totals.squaredError += squaredError;
    totals.variance += variance;
    List<DeadLatents> levels = levels(idle.dead(totals.fired, totals.rows), variance, errors);
    double scale = lossScale(variance);
    for (int p = 0; p < errors.length; p++) {
      double squares =
          p == errors.length - 1 ? squaredError : RowSums.of(workers, errors[p], Vectors::squares);
      totals.reconstruction += rows * scale * prefixes.get(p).weight() * squares;
    }
    for (DeadLatents level : levels) {
      totals.aux += rows * level.loss(workers);
    }
    return backward(kept, levels, errors, scale);
  }

  private double lossScale(double variance) {
    return switch (config.loss()) {
      case MEAN -> 1.0 / ((double) rows * dOut);
      case SUM_MEAN -> 1.0 / rows;
      case FVU -> Totals.inverse(variance);
    };
  }

  /** e = x̂ − y of what each prefix decodes to. */
  private float[][][] errors(Kept kept) {
    float[][][] errors = new float[prefixes.size()][rows][];
    if (sae.shape().has(Tensor.W_SKIP)) {
      sae.panels(Tensor.W_SKIP)
          .forEachRow(
              workers,
              rows,
              row -> batch.raw()[row],
              (row, skipped) -> errors(kept, row, skipped, errors));
    } else {
      workers.forEachRange(
          rows,
          32,
          (first, end) -> {
            for (int row = first; row < end; row++) {
              errors(kept, row, new float[dOut], errors);
            }
          });
    }
    return errors;
  }

  /**
   * Of one row.
   *
   * @param sum what is added to the reconstruction; overwritten
   */
  private void errors(Kept kept, int row, float[] sum, float[][][] errors) {
    Vectors.add(sum, 1, sae.bDec());
    Vectors.add(sum, -1, batch.target()[row]);
    int[] index = kept.indices[row];
    int last = prefixes.size() - 1;
    int from = 0;
    for (int p = 0; p < last; p++) { // rows of a BatchTopK are in order of index
      int to = from;
      while (to < index.length && index[to] < prefixes.get(p).latents()) {
        to++;
      }
      Vectors.add(sum, kept.values[row], index, from, to, sae.wDec());
      errors[p][row] = sum.clone();
      from = to;
    }
    Vectors.add(sum, kept.values[row], index, from, index.length, sae.wDec());
    errors[last][row] = sum;
  }

  /** The auxiliary losses: of all dead latents, or one of those of each prefix. */
  private List<DeadLatents> levels(boolean[] dead, double variance, float[][][] errors) {
    List<DeadLatents> levels = new ArrayList<>();
    StepConfig.Auxiliary aux = config.aux();
    if (aux.coefficient() == 0) {
      return levels;
    }
    Sign sign =
        rule == Selection.Rule.ABS_TOP_K
            ? Sign.ABSOLUTE
            : aux.signed() ? Sign.SIGNED : Sign.POSITIVE;
    int from = 0;
    for (int p = aux.byPrefix() ? 0 : errors.length - 1; p < errors.length; p++) {
      int[] latents =
          IntStream.range(from, prefixes.get(p).latents()).filter(j -> dead[j]).toArray();
      from = prefixes.get(p).latents();
      if (latents.length > 0) {
        double scale = auxScale(latents.length, variance, errors[p]);
        int most = Math.min(aux.k(), latents.length);
        levels.add(new DeadLatents(sae, batch, latents, scale, most, sign, rank, errors[p]));
      }
    }
    return levels;
  }

  /** The factor of Σ r²; no gradient flows through its denominators. */
  private double auxScale(int dead, double variance, float[][] error) {
    StepConfig.Auxiliary aux = config.aux();
    double scale = aux.coefficient();
    if (aux.scaleByDead()) {
      scale *= Math.min(1.0, (double) dead / aux.k());
    }
    return switch (aux.norm()) {
      case MEAN -> scale / ((double) rows * dOut);
      case SUM_MEAN -> scale / rows;
      case TARGET_VARIANCE -> scale * Totals.inverse(variance);
      case RESIDUAL_VARIANCE ->
          scale * Totals.inverse(RowSums.squaresAboutMean(workers, error, dOut));
    };
  }

  private Gradient backward(Kept kept, List<DeadLatents> levels, float[][][] errors, double scale) {
    float[][][] slopeOf = new float[sae.dSae()][][];
    for (int p = errors.length - 1; p >= 0; p--) {
      Arrays.fill(slopeOf, 0, prefixes.get(p).latents(), errors[p]);
    }
    List<Kept> lists = new ArrayList<>(List.of(kept));
    List<float[][]> residuals = new ArrayList<>();
    for (DeadLatents level : levels) { // which are not among those kept
      float[][] slopes = level.slopes(workers, rows);
      for (int latent : level.latents()) {
        slopeOf[latent] = slopes;
      }
      lists.add(level.kept());
      residuals.add(slopes);
    }
    slopes(errors, config.aux().detach() ? List.of() : residuals, scale);
    return new Backward(sae, batch, new Columns(sae.dSae(), lists), errors[0], slopeOf);
  }

  /**
   * Makes each prefix's error the slope of the loss by what its own latents decode to: a sum over
   * the prefixes that have them.
   *
   * @param residuals slopes of losses that contain the error
   */
  private void slopes(float[][][] errors, List<float[][]> residuals, double scale) {
    workers.forEachRange(
        rows,
        32,
        (first, end) -> {
          for (int row = first; row < end; row++) {
            float[] sum = new float[dOut];
            for (float[][] residual : residuals) {
              Vectors.add(sum, 1, residual[row]);
            }
            for (int p = errors.length - 1; p >= 0; p--) {
              float factor = (float) (2 * rows * scale * prefixes.get(p).weight());
              Vectors.scale(errors[p][row], factor);
              Vectors.add(errors[p][row], 1, sum);
              sum = errors[p][row];
            }
          }
        });
  }
}
