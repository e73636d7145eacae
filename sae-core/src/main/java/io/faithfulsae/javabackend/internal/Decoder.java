package io.faithfulsae.javabackend.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.LatentBuffers;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import org.jspecify.annotations.Nullable;

/** Decodes rows of latents from a caller's buffers. */
final class Decoder {
  private static final int BLOCK = 64; // rows

  private final JavaSae sae;
  private final int rows;
  private final int[] starts; // [rows + 1], of each row's entries
  private final int[] indices;
  private final float[] values;

  /**
   * Reads the latents.
   *
   * @throws IllegalArgumentException if offsets do not ascend, or an index is not a latent
   */
  Decoder(JavaSae sae, LatentBuffers latents, int rows) {
    this.sae = sae;
    this.rows = rows;
    this.starts = starts(sae.backend, latents, rows);
    int entries = starts[rows];
    this.indices = new int[entries];
    this.values = new float[entries];
    sae.backend.ints("indices", latents.indices(), 1, entries).get(0, indices);
    sae.backend.floats("values", latents.values(), 1, entries).get(0, values);
    for (int row = 0; row < rows; row++) {
      for (int at = starts[row]; at < starts[row + 1]; at++) {
        if (indices[at] < 0 || indices[at] >= sae.dSae()) {
          throw new IllegalArgumentException(
              Expected.message(
                  "indices in [0, d_sae = " + sae.dSae() + ")",
                  indices[at] + " in row " + row,
                  "decode with the SAE that encoded"));
        }
      }
    }
  }

  private static int[] starts(JavaBackend backend, LatentBuffers latents, int rows) {
    int[] starts = new int[rows + 1];
    DeviceBuffer offsets = latents.offsets();
    IntBuffer given = offsets == null ? null : backend.ints("offsets", offsets, rows + 1L, 1);
    for (int row = 0; row <= rows; row++) {
      starts[row] = given == null ? row * latents.k() : given.get(row);
      if (starts[row] < (row == 0 ? 0 : starts[row - 1]) || starts[row] > latents.room()) {
        throw new IllegalArgumentException(
            Expected.message(
                "offsets that ascend within [0, " + latents.room() + "]",
                starts[row] + " at " + row,
                "decode latents as they were encoded"));
      }
    }
    return starts;
  }

  /**
   * Writes the reconstructions.
   *
   * @param x the rows that were encoded, where there is a skip connection
   */
  void decode(@Nullable FloatBuffer x, FloatBuffer out) {
    Workers workers = sae.backend.workers();
    if (x == null) {
      workers.forEachRange(
          rows,
          BLOCK,
          (first, end) -> {
            float[] zeros = new float[sae.shape().dOut()];
            for (int row = first; row < end; row++) {
              decode(row, zeros, out);
            }
          });
    } else {
      sae.panels(Tensor.W_SKIP)
          .forEachRow(
              workers,
              rows,
              new Rows(x, sae.shape().dIn(), null),
              (row, skipped) -> decode(row, skipped, out));
    }
  }

  private void decode(int row, float[] skipped, FloatBuffer out) {
    float[] sum = sae.bDec().clone();
    Vectors.add(sum, values, indices, starts[row], starts[row + 1], sae.wDec());
    Vectors.add(sum, 1, skipped);
    out.put(row * sum.length, sum);
  }
}
