package io.faithfulsae.spi;

import org.jspecify.annotations.Nullable;

/**
 * Encoded rows in a backend's memory: k latents per row, or ragged rows.
 *
 * @param offsets int32 {@code [rows + 1]}: row r has the entries {@code [offsets[r], offsets[r +
 *     1])}; null if each row has k
 * @param indices int32 latent indices: {@code [rows, k]}, or {@code [entries]}
 * @param values float32, likewise
 * @param k latents per row; 0 if rows are ragged
 */
public record LatentBuffers(
    @Nullable DeviceBuffer offsets, DeviceBuffer indices, DeviceBuffer values, int k) {

  /** Rows of k latents. */
  public static LatentBuffers ofK(DeviceBuffer indices, DeviceBuffer values, int k) {
    return new LatentBuffers(null, indices, values, k);
  }

  /** Ragged rows. */
  public static LatentBuffers ragged(
      DeviceBuffer offsets, DeviceBuffer indices, DeviceBuffer values) {
    return new LatentBuffers(offsets, indices, values, 0);
  }

  /** The entries that fit. */
  public long room() {
    return Math.min(indices.bytes() / Integer.BYTES, values.bytes() / Float.BYTES);
  }

  /** Checks that what is written to is not also another argument. */
  public void checkDistinct(DeviceBuffer x) {
    BackendChecks.distinct("indices", indices, values, x);
    BackendChecks.distinct("values", values, x);
    if (offsets != null) {
      BackendChecks.distinct("offsets", offsets, indices, values, x);
    }
  }

  /** Checks that what is decoded to is not also another argument. */
  public void checkDistinctFrom(DeviceBuffer out, @Nullable DeviceBuffer x) {
    BackendChecks.distinct("out", out, indices, values);
    if (offsets != null) {
      BackendChecks.distinct("out", out, offsets);
    }
    if (x != null) {
      BackendChecks.distinct("out", out, x);
    }
  }

  /** Checks that there is room for rows. */
  public void check(int rows) {
    if (offsets == null) {
      BackendChecks.holds("indices", indices, rows, k);
      BackendChecks.holds("values", values, rows, k);
    } else {
      BackendChecks.holds("offsets", offsets, rows + 1L, 1);
      BackendChecks.holds("indices", indices, 1, 1);
      BackendChecks.holds("values", values, 1, 1);
    }
  }
}
