package io.faithfulsae.javabackend.internal;

import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.StepConfig;
import io.faithfulsae.spi.StepConfig.DecoderNorm;

/**
 * What a step makes of a gradient: clips and projects it, normalises the decoder, and moves the
 * parameters. Latents are independent but for the gradient's norm, for which their gradients are
 * looked at once more.
 */
final class Update {
  private static final int BLOCK = 32; // latents

  private final JavaSae sae;
  private final StepConfig.Weights weights;
  private final StepConfig.Adam adam;
  private final Gradient gradient;
  private final Workers workers;
  private final boolean decoder; // whether it is trained
  private final float perRow;

  /**
   * @param rows by which the gradient is divided
   */
  Update(JavaSae sae, StepConfig config, Gradient gradient, long rows) {
    this.sae = sae;
    this.weights = config.weights();
    this.adam = config.adam();
    this.gradient = gradient;
    this.workers = sae.backend.workers();
    this.decoder = !weights.freezeDecoder();
    this.perRow = 1f / rows;
  }

  /** Scales the rows of W_dec to unit norm, if they are to be at this time. */
  void normalize(DecoderNorm time) {
    if (weights.decoderNorm() == time && decoder) {
      workers.forEachRange(
          sae.dSae(),
          BLOCK,
          (first, end) -> {
            for (int j = first; j < end; j++) {
              normalize(sae.wDec()[j]);
            }
          });
    }
  }

  /** Leaves a row of zeros unchanged. */
  private static void normalize(float[] row) {
    double squares = Vectors.squares(row);
    if (squares > 0) {
      Vectors.scale(row, (float) (1 / Math.sqrt(squares)));
    }
  }

  /**
   * The global norm of the gradient of what is trained, as it is clipped; 0 if it is not. A row's
   * own norm does not matter for its projection, so it may be normalised before or after.
   */
  double norm() {
    if (adam.clipNorm() == 0) {
      return 0;
    }
    double[] squares = new double[sae.dSae()];
    forEachLatent(
        1,
        adam.clipProjected(),
        (j, enc, dec) -> squares[j] = Vectors.squares(enc) + (decoder ? Vectors.squares(dec) : 0));
    double sum = 0;
    for (double square : squares) {
      sum += square;
    }
    sum += weights.trainEncoderBias() ? squares(gradient.bEnc()) : 0;
    sum += squares(gradient.bDec());
    Matrix skip = gradient.wSkip();
    for (int i = 0; skip != null && i < skip.rows.length; i++) {
      sum += squares(skip.rows[i]);
    }
    return Math.sqrt(sum);
  }

  private double squares(float[] ofAllRows) {
    return Vectors.squares(ofAllRows) * perRow * perRow;
  }

  /** torch.nn.utils.clip_grad_norm_. */
  double clip(double norm) {
    return adam.clipNorm() == 0 ? 1 : Math.min(1, adam.clipNorm() / (norm + 1e-6));
  }

  /** Moves all that is trained. */
  void move(double clip, Optimizer optimizer, Moments moments) {
    forEachLatent(
        (float) clip,
        true,
        (j, enc, dec) -> {
          update(optimizer, moments, Tensor.W_ENC, j, enc);
          if (decoder) {
            update(optimizer, moments, Tensor.W_DEC, j, dec);
          }
        });
    float factor = (float) (perRow * clip);
    if (weights.trainEncoderBias()) {
      update(optimizer, moments, Tensor.B_ENC, 0, scaled(gradient.bEnc(), factor));
    }
    update(optimizer, moments, Tensor.B_DEC, 0, scaled(gradient.bDec(), factor));
    Matrix skip = gradient.wSkip();
    for (int i = 0; skip != null && i < skip.rows.length; i++) {
      update(optimizer, moments, Tensor.W_SKIP, i, scaled(skip.rows[i], factor));
    }
  }

  private static float[] scaled(float[] x, float factor) {
    float[] scaled = x.clone();
    Vectors.scale(scaled, factor);
    return scaled;
  }

  private void update(
      Optimizer optimizer, Moments moments, Tensor tensor, int row, float[] gradientOfRow) {
    optimizer.update(
        gradientOfRow,
        sae.tensor(tensor).rows[row],
        moments.first(tensor, row),
        moments.second(tensor, row));
  }

  /** The gradients of a latent's rows; called by many threads. */
  @FunctionalInterface
  private interface Use {
    void accept(int latent, float[] wEnc, float[] wDec);
  }

  private void forEachLatent(float factor, boolean projected, Use use) {
    workers.forEachRange(
        sae.dSae(),
        BLOCK,
        (first, end) -> {
          float[] enc = new float[sae.shape().dIn()];
          float[] dec = new float[sae.shape().dOut()];
          for (int j = first; j < end; j++) {
            gradient.latent(j, enc, dec);
            Vectors.scale(enc, perRow * factor);
            Vectors.scale(dec, perRow * factor);
            if (projected && decoder && weights.projectGradient()) {
              project(dec, sae.wDec()[j]);
            }
            use.accept(j, enc, dec);
          }
        });
  }

  /** Removes the part of a gradient that is parallel to its row. */
  private static void project(float[] g, float[] row) {
    double squares = Vectors.squares(row);
    if (squares > 0) {
      Vectors.add(g, (float) (-Vectors.dot(g, row) / squares), row);
    }
  }
}
