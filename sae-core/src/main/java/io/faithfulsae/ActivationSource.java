package io.faithfulsae;

import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.util.OptionalLong;

/**
 * A stream of activations that can be opened any number of times, so that runs with different seeds
 * and resumed runs read the same rows. Implement it to supply activations from anywhere.
 *
 * <p><b>Threads</b>: a source may be opened several times at once; each reader is used by one
 * thread.
 */
public interface ActivationSource {

  /** Width of a row. */
  int dIn();

  /**
   * Describes this source for provenance, in enough detail to distinguish any two sources (model,
   * hook, data, options).
   */
  String description();

  /**
   * An upper bound on the rows of a pass, for planning; empty if unknown in advance.
   *
   * @param enough counting may stop here; the result need not be larger
   */
  default OptionalLong rowsAtMost(long enough) throws IOException {
    return OptionalLong.empty();
  }

  /**
   * Whether its readers can write to device memory of this backend ({@link
   * Backend#allocateOnDevice}). If so, a trainer on that backend keeps the rows on the device.
   */
  default boolean fillsOnDevice(Backend backend) {
    return false;
  }

  /**
   * Opens a reader.
   *
   * @param position 0 for the start, or an earlier {@link ActivationReader#position()} of the same
   *     source; only the source interprets it
   */
  ActivationReader open(long position) throws IOException;
}
