package io.faithfulsae.javabackend.internal;

import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.SaeShape;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** A sum of gradients. */
final class StoredGradient implements Gradient {
  private final Matrix wEnc;
  private final Matrix wDec;
  private final float[] bEnc;
  private final float[] bDec;
  private final @Nullable Matrix wSkip;

  /** Zero. */
  StoredGradient(SaeShape shape) {
    this.wEnc = JavaSae.like(Tensor.W_ENC, shape);
    this.wDec = JavaSae.like(Tensor.W_DEC, shape);
    this.bEnc = new float[shape.dSae()];
    this.bDec = new float[shape.dOut()];
    this.wSkip = shape.has(Tensor.W_SKIP) ? JavaSae.like(Tensor.W_SKIP, shape) : null;
  }

  long bytes() {
    return wEnc.bytes()
        + wDec.bytes()
        + Float.BYTES * ((long) bEnc.length + bDec.length)
        + (wSkip == null ? 0 : wSkip.bytes());
  }

  void add(Workers workers, Gradient other) {
    workers.forEachRange(
        bEnc.length,
        64,
        (first, end) -> {
          float[] enc = new float[wEnc.columns()];
          float[] dec = new float[wDec.columns()];
          for (int j = first; j < end; j++) {
            other.latent(j, enc, dec);
            Vectors.add(wEnc.rows[j], 1, enc);
            Vectors.add(wDec.rows[j], 1, dec);
          }
        });
    Vectors.add(bEnc, 1, other.bEnc());
    Vectors.add(bDec, 1, other.bDec());
    Matrix theirs = other.wSkip();
    for (int i = 0; wSkip != null && theirs != null && i < wSkip.rows.length; i++) {
      Vectors.add(wSkip.rows[i], 1, theirs.rows[i]);
    }
  }

  @Override
  public void latent(int latent, float[] enc, float[] dec) {
    System.arraycopy(wEnc.rows[latent], 0, enc, 0, enc.length);
    System.arraycopy(wDec.rows[latent], 0, dec, 0, dec.length);
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

  void clear(Workers workers) {
    workers.forEachRange(
        bEnc.length,
        64,
        (first, end) -> {
          for (int j = first; j < end; j++) {
            Arrays.fill(wEnc.rows[j], 0);
            Arrays.fill(wDec.rows[j], 0);
          }
        });
    Arrays.fill(bEnc, 0);
    Arrays.fill(bDec, 0);
    for (int i = 0; wSkip != null && i < wSkip.rows.length; i++) {
      Arrays.fill(wSkip.rows[i], 0);
    }
  }
}
