package io.faithfulsae;

import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.util.OptionalLong;

/**
 * A recipe for a stream of activations that can be opened again and again: two seeds, and a resumed
 * run, read the same rows. Implement it to plug in activations from anywhere.
 *
 * <p><b>Threads</b>: a source may be opened several times at once; each reader is used by one
 * thread.
 */
public interface ActivationSource {

  /** Width of a row. */
  int dIn();

  /**
   * What this source is, for provenance: enough to tell two sources apart (model, hook, data,
   * options).
   */
  String description();

  /**
   * The most rows that a pass can have, to plan by; empty where nobody knows before it is made.
   *
   * @param enough counting may end here: what is returned need not be larger
   */
  default OptionalLong rowsAtMost(long enough) throws IOException {
    return OptionalLong.empty();
  }

  /**
   * Whether its readers also fill memory of this backend's device that the host cannot address
   * ({@link Backend#allocateOnDevice}): a trainer on it then keeps the rows there.
   */
  default boolean fillsOnDevice(Backend backend) {
    return false;
  }

  /**
   * Opens a reader.
   *
   * @param position 0 for the start, or what {@link ActivationReader#position()} said earlier of
   *     the same source; its meaning is the source's own
   */
  ActivationReader open(long position) throws IOException;
}
