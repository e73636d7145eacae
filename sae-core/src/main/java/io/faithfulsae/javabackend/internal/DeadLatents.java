package io.faithfulsae.javabackend.internal;

import io.faithfulsae.spi.BackendSae.Tensor;

/** The dead latents that reconstruct a residual: the auxiliary loss of one level. */
final class DeadLatents {
  private final int[] latents;
  private final double scale;
  private final Kept kept;
  private final float[][] residual; // r = z_aux W_dec − (y − x̂); later its slope

  /**
   * @param latents the dead ones, ascending
   * @param scale the factor of Σ r²
   * @param most kept per row
   * @param sign which pre-activations take part
   * @param error x̂ − y without them
   */
  DeadLatents(
      JavaSae sae,
      Batch batch,
      int[] latents,
      double scale,
      int most,
      Sign sign,
      float[] rank,
      float[][] error) {
    this.latents = latents;
    this.scale = scale;
    this.kept = new Kept(batch.rows());
    this.residual = new float[batch.rows()][];
    float[] bEnc = sae.vector(Tensor.B_ENC);
    Panels panels =
        new Panels(sae.tensor(Tensor.W_ENC).rows, sae.dIn(), latents).pack(sae.backend.workers());
    panels.forEachRow(
        sae.backend.workers(),
        batch.rows(),
        row -> batch.in()[row],
        (row, z) -> {
          TopValues top = new TopValues(most, sign == Sign.SIGNED ? Float.NEGATIVE_INFINITY : 0);
          for (int i = 0; i < z.length; i++) {
            z[i] += bEnc[latents[i]];
            float size = sign == Sign.ABSOLUTE ? Math.abs(z[i]) : z[i];
            top.offer(i, size * rank[latents[i]]);
          }
          kept.set(row, top.indices(), z);
          int[] index = kept.indices[row];
          for (int i = 0; i < index.length; i++) {
            index[i] = latents[index[i]];
          }
          residual[row] = error[row].clone();
          Vectors.add(residual[row], kept.values[row], index, 0, index.length, sae.wDec());
        });
  }

  /** Which pre-activations take part, and how they are compared. */
  enum Sign {
    POSITIVE,
    SIGNED,
    ABSOLUTE
  }

  int[] latents() {
    return latents;
  }

  Kept kept() {
    return kept;
  }

  double loss(Workers workers) {
    return scale * RowSums.of(workers, residual, Vectors::squares);
  }

  /** Makes the residual the slope of the loss, times a number of rows. */
  float[][] slopes(Workers workers, int rows) {
    float factor = (float) (2 * rows * scale);
    workers.forEachRange(
        residual.length,
        64,
        (first, end) -> {
          for (int row = first; row < end; row++) {
            Vectors.scale(residual[row], factor);
          }
        });
    return residual;
  }
}
