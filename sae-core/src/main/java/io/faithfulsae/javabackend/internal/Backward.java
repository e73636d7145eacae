package io.faithfulsae.javabackend.internal;

import io.faithfulsae.spi.BackendSae.Tensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The gradient of one batch, from the slopes of the loss. Latents' rows are computed when asked
 * for: each is a short sum over the rows on which the latent is active.
 */
final class Backward implements Gradient {
  private final Batch batch;
  private final Columns columns;
  private final float[][][] slopeOf;
  private final float[] dz; // by entry of the columns
  private final float[] bEnc;
  private final float[] bDec;
  private final @Nullable Matrix wSkip;

  /**
   * @param total {@code [rows, dOut]}: the slope of the loss by what is added to every row
   * @param slopeOf for each latent, the slope of the loss by what it adds: {@code [rows, dOut]}
   */
  Backward(JavaSae sae, Batch batch, Columns columns, float[][] total, float[][][] slopeOf) {
    this.batch = batch;
    this.columns = columns;
    this.slopeOf = slopeOf;
    this.dz = new float[columns.rows.length];
    this.bEnc = new float[sae.dSae()];
    Workers workers = sae.backend.workers();
    float[][] wDec = sae.wDec();
    workers.forEachRange(
        bEnc.length,
        16,
        (first, end) -> {
          for (int j = first; j < end; j++) {
            double sum = 0;
            for (int at = columns.starts[j]; at < columns.starts[j + 1]; at++) {
              dz[at] = Vectors.dot(slopeOf[j][columns.rows[at]], wDec[j]);
              sum += dz[at];
            }
            bEnc[j] = (float) sum;
          }
        });
    int dOut = sae.shape().dOut();
    double[] ofOutput = RowSums.ofColumns(workers, total, dOut);
    if (sae.shape().subtractDecoderBias()) {
      subtractThroughInput(sae, ofOutput);
    }
    this.bDec = new float[dOut];
    for (int i = 0; i < dOut; i++) {
      bDec[i] = (float) ofOutput[i];
    }
    this.wSkip = sae.shape().has(Tensor.W_SKIP) ? skip(sae, total) : null;
  }

  /** b_dec is subtracted from each row, whose slope is Σ_j dz_j W_enc_j. */
  private void subtractThroughInput(JavaSae sae, double[] ofOutput) {
    int block = 256; // latents
    float[][] wEnc = sae.tensor(Tensor.W_ENC).rows;
    double[][] sums = new double[(bEnc.length + block - 1) / block][ofOutput.length];
    sae.backend
        .workers()
        .forEachRange(
            bEnc.length,
            block,
            (first, end) -> {
              double[] sum = sums[first / block];
              for (int j = first; j < end; j++) {
                double slope = bEnc[j];
                for (int i = 0; slope != 0 && i < sum.length; i++) {
                  sum[i] += slope * wEnc[j][i];
                }
              }
            });
    for (double[] sum : sums) {
      for (int i = 0; i < ofOutput.length; i++) {
        ofOutput[i] -= sum[i];
      }
    }
  }

  private Matrix skip(JavaSae sae, float[][] total) {
    Matrix skip = JavaSae.like(Tensor.W_SKIP, sae.shape());
    int[] all = new int[batch.rows()];
    Arrays.setAll(all, row -> row);
    sae.backend
        .workers()
        .forEach(
            skip.rows.length,
            i -> {
              float[] slopes = new float[all.length];
              for (int row = 0; row < all.length; row++) {
                slopes[row] = total[row][i];
              }
              Vectors.add(skip.rows[i], slopes, all, 0, all.length, batch.raw());
            });
    return skip;
  }

  @Override
  public void latent(int latent, float[] wEnc, float[] wDec) {
    Arrays.fill(wEnc, 0);
    Arrays.fill(wDec, 0);
    int from = columns.starts[latent];
    int to = columns.starts[latent + 1];
    Vectors.add(wEnc, dz, columns.rows, from, to, batch.in());
    Vectors.add(wDec, columns.values, columns.rows, from, to, slopeOf[latent]);
  }

  @Override
  public float[] bEnc() {
    return bEnc;
  }

  @Override
  public float[] bDec() {
    return bDec;
  }

  @Override
  public @Nullable Matrix wSkip() {
    return wSkip;
  }
}
