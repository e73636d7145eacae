package io.faithfulsae.javabackend.internal;

import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.Selection.Rule;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/** The forward pass of an encoder: pre-activations, and which of them a rule keeps. */
final class Encoder {
  private final JavaSae sae;
  private final Rule rule;
  private final int k;
  private final long room;
  private final int dSae;
  private final float[] bEnc;
  private final float[] thresholds; // of a rule that has one
  private final double @Nullable [] gains; // of a gated SAE
  private final float[] bMag; // likewise; b_enc of others
  private final AtomicLong entries = new AtomicLong();

  /**
   * @param k of this batch
   * @param room entries that are wanted; once there are more, they are only counted
   */
  Encoder(JavaSae sae, Selection selection, int k, long room) {
    this.sae = sae;
    this.rule = selection.rule();
    this.k = k;
    this.room = room;
    this.dSae = sae.shape().dSae();
    this.bEnc = sae.vector(Tensor.B_ENC);
    this.thresholds =
        rule == Rule.THRESHOLD && sae.shape().has(Tensor.THRESHOLD)
            ? sae.vector(Tensor.THRESHOLD)
            : new float[dSae];
    boolean gated = sae.shape().has(Tensor.R_MAG);
    this.gains = gated ? gains(sae.vector(Tensor.R_MAG)) : null;
    this.bMag = sae.vector(gated ? Tensor.B_MAG : Tensor.B_ENC);
  }

  private static double[] gains(float[] logs) {
    double[] gains = new double[logs.length];
    for (int j = 0; j < gains.length; j++) {
      gains[j] = Math.exp(logs[j]);
    }
    return gains;
  }

  /** The number of entries of the rows kept, which may be more than there is room for. */
  long entries() {
    return entries.get();
  }

  /** What is kept of each row; rows without an order of their own are in order of index. */
  Kept keep(int rows, Panels.Rows x) {
    float[] ones = new float[dSae];
    Arrays.fill(ones, 1);
    return keep(rows, x, ones);
  }

  /**
   * The same.
   *
   * @param rank what values are multiplied by before they are compared
   */
  Kept keep(int rows, Panels.Rows x, float[] rank) {
    Panels panels = sae.panels(Tensor.W_ENC);
    Workers workers = sae.backend.workers();
    if (rule == Rule.BATCH_TOP_K) {
      BatchSelection batch = new BatchSelection(rows, (long) k * rows, rank);
      panels.forEachRow(
          workers,
          rows,
          x,
          (row, z) -> {
            addBias(z);
            batch.offer(row, z);
          });
      Kept kept = batch.kept();
      for (int[] row : kept.indices) {
        entries.addAndGet(row.length);
      }
      return kept;
    }
    Kept kept = new Kept(rows);
    panels.forEachRow(
        workers,
        rows,
        x,
        (row, z) -> {
          switch (rule) {
            case TOP_K -> kept.set(row, largest(z, rank), z);
            case ABS_TOP_K -> kept.set(row, largestAbsolute(z, rank), z);
            case GROUP_MAX -> kept.set(row, largestOfGroups(z), z);
            default -> above(row, z, kept);
          }
        });
    return kept;
  }

  private void addBias(float[] z) {
    Vectors.add(z, 1, bEnc);
  }

  private int[] largest(float[] z, float[] rank) {
    addBias(z);
    TopValues top = new TopValues(k, 0);
    for (int j = 0; j < z.length; j++) {
      top.offer(j, z[j] * rank[j]);
    }
    return top.indices();
  }

  private int[] largestAbsolute(float[] z, float[] rank) {
    addBias(z);
    TopValues top = new TopValues(k, 0);
    for (int j = 0; j < z.length; j++) {
      top.offer(j, Math.abs(z[j]) * rank[j]);
    }
    return top.indices();
  }

  private int[] largestOfGroups(float[] z) {
    addBias(z);
    int size = z.length / k;
    TopValues top = new TopValues(k, 0);
    for (int start = 0; start < z.length; start += size) {
      int best = start;
      for (int j = start + 1; j < start + size; j++) {
        best = z[j] > z[best] || Float.isNaN(z[j]) ? j : best;
      }
      top.offer(best, z[best]);
    }
    return top.indices();
  }

  private void above(int row, float[] z, Kept kept) {
    int[] index = new int[64];
    int n = 0;
    for (int j = 0; j < z.length; j++) {
      z[j] = activation(j, z[j]);
      if (z[j] != 0) {
        if (n == index.length) {
          index = Arrays.copyOf(index, 2 * n);
        }
        index[n++] = j;
      }
    }
    if (entries.addAndGet(n) <= room) {
      kept.set(row, Arrays.copyOf(index, n), z);
    }
  }

  /** A latent's value, 0 if it does not fire; NaN after an overflow. */
  private float activation(int latent, float product) {
    float pre = product + bEnc[latent];
    if (Float.isNaN(pre)) {
      return pre;
    }
    if (gains == null) {
      return pre > thresholds[latent] && pre > 0 ? pre : 0;
    }
    return pre > 0 ? Math.max(0f, (float) (product * gains[latent] + bMag[latent])) : 0;
  }
}
