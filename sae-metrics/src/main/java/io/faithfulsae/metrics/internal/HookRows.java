package io.faithfulsae.metrics.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.Sae;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.ModelActivations.HookedModel;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.FloatBuffer;
import java.util.List;

/**
 * The activations of one batch of sequences at a hook point, and the rows of them that a filter
 * passes on to any number of SAEs. Memory is reused from batch to batch.
 */
public final class HookRows implements SequenceRows, AutoCloseable {
  private final HookedModel on;
  private final ActivationFilter filter;
  private final DeviceBuffer activations;
  private final ActivationBatch kept;
  private final int[] positions; // in [0, batch · length), of each kept row
  private final float[] row;
  private double norms;

  /**
   * Allocates the memory.
   *
   * @param tokens maximum number of tokens per batch
   */
  public HookRows(Backend backend, HookedModel on, ActivationFilter filter, int tokens) {
    int width = on.model().width(on.hook());
    this.on = on;
    this.filter = filter;
    this.kept = ActivationBatch.allocate(backend, tokens, width);
    this.activations = backend.allocate((long) tokens * width * Float.BYTES);
    this.positions = new int[tokens];
    this.row = new float[width];
  }

  /**
   * The backend of SAEs that will read the same rows.
   *
   * @throws IllegalArgumentException if there are none, they are on different backends, or one
   *     differs from the model in width
   */
  public static Backend backendOf(List<Sae> saes, HookedModel on) {
    for (Sae sae : saes) {
      requireWidth(sae, on);
    }
    return backendOf(saes);
  }

  /**
   * The backend of SAEs that will read the same rows.
   *
   * @throws IllegalArgumentException if there are none, or they are on different backends
   */
  public static Backend backendOf(List<Sae> saes) {
    if (saes.isEmpty()) {
      throw new IllegalArgumentException(
          Expected.message("at least one SAE", "none", "pass one or more"));
    }
    Backend backend = saes.get(0).backend();
    for (Sae sae : saes) {
      if (sae.backend() != backend) {
        throw new IllegalArgumentException(
            Expected.message(
                "SAEs on the same backend",
                backend.info().name() + " and " + sae.backend().info().name(),
                "load all of them with the same Backend object"));
      }
    }
    return backend;
  }

  private static void requireWidth(Sae sae, HookedModel on) {
    int width = on.model().width(on.hook());
    if (sae.config().dIn() != width) {
      throw new IllegalArgumentException(
          Expected.message(
              "an SAE with d_in = %d, the width of %s at %s"
                  .formatted(width, on.model().name(), on.hook()),
              sae.config().dIn(),
              "use the model that the SAE was trained on"));
    }
  }

  /** Runs the model up to the hook and picks the rows that the filter keeps. */
  public void read(int[][] tokens) {
    FloatBuffer all = activations(tokens.length * tokens[0].length);
    on.model().activations(on.hook(), tokens, all);
    pick(tokens, all);
  }

  /**
   * Reads another hook point in the same pass, of which it picks the positions that this filter
   * keeps.
   */
  void read(int[][] tokens, HookRows other) {
    int count = tokens.length * tokens[0].length;
    FloatBuffer all = activations(count);
    FloatBuffer others = other.activations(count);
    on.model().activations(List.of(on.hook(), other.on.hook()), tokens, List.of(all, others));
    pick(tokens, all);
    System.arraycopy(positions, 0, other.positions, 0, kept.rows());
    for (int r = 0; r < kept.rows(); r++) {
      others.get(positions[r] * other.row.length, other.row);
      other.kept.data().put(r * other.row.length, other.row);
    }
    other.kept.rows(kept.rows());
  }

  private void pick(int[][] tokens, FloatBuffer all) {
    int length = tokens[0].length;
    FloatBuffer into = kept.data();
    int rows = 0;
    norms = 0;
    for (int s = 0; s < tokens.length; s++) {
      for (int t = 0; t < length; t++) {
        if (filter.keeps(t, tokens[s][t])) {
          int position = s * length + t;
          all.get(position * row.length, row);
          double norm = norm(row);
          if (!(norm > filter.maxNorm())) { // NaN reaches the encoder, which rejects it
            into.put(rows * row.length, row);
            positions[rows++] = position;
            norms += norm;
          }
        }
      }
    }
    kept.rows(rows);
  }

  /** The activations of all positions {@code [tokens, width]}; may be changed. */
  FloatBuffer activations(int tokens) {
    return activations.host().asFloatBuffer().limit(tokens * row.length);
  }

  /** Number of rows that the filter kept. */
  @Override
  public int keptRows() {
    return kept.rows();
  }

  /** Σ‖x‖ over the kept rows. */
  @Override
  public double norms() {
    return norms;
  }

  /** The place of a kept row in the batch, as sequence · length + position. */
  @Override
  public int position(int keptRow) {
    return positions[keptRow];
  }

  /** The rows that the filter kept, for SAEs to encode; do not modify. */
  @Override
  public ActivationBatch kept() {
    return kept;
  }

  /** Replaces the activations of the kept rows with other rows, such as their reconstructions. */
  void replaceWith(ActivationBatch rows) {
    FloatBuffer all = activations.host().asFloatBuffer();
    FloatBuffer from = rows.data();
    for (int r = 0; r < kept.rows(); r++) {
      from.get(r * row.length, row);
      all.put(positions[r] * row.length, row);
    }
  }

  /** Replaces the activations of each kept row with the same row. */
  void replaceWith(float[] constant) {
    FloatBuffer all = activations.host().asFloatBuffer();
    for (int r = 0; r < kept.rows(); r++) {
      all.put(positions[r] * row.length, constant);
    }
  }

  @Override
  public void close() {
    activations.close();
    kept.close();
  }

  static double norm(float[] values) {
    double squares = 0;
    for (float value : values) {
      squares += (double) value * value;
    }
    return Math.sqrt(squares);
  }
}
