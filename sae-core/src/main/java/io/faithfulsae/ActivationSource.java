package io.faithfulsae;

import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.util.Map;
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

  /**
   * Makes sources of one kind from a text, for {@link ActivationSources#provider} and {@code sae
   * train --source NAME:ARGUMENT}. List the class in {@code
   * META-INF/services/io.faithfulsae.ActivationSource$Provider}.
   *
   * <p><b>Threads</b>: called from any thread. A new instance is made for each use.
   */
  interface Provider {

    /** The name that selects it, without a colon. */
    String name();

    /**
     * Makes a source.
     *
     * @param argument in the provider's own syntax, such as the path of a file; empty for none
     * @throws IllegalArgumentException if the argument is wrong
     * @throws IOException if what it names cannot be read
     */
    ActivationSource open(String argument) throws IOException;

    /**
     * What an SAE trained on such a source keeps as its {@link Sae#metadata()}: {@code model_name}
     * and {@code hook_name}, where they are known.
     */
    default Map<String, String> metadata(String argument) {
      return Map.of();
    }
  }
}
