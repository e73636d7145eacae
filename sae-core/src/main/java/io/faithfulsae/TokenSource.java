package io.faithfulsae;

import java.io.IOException;
import java.util.stream.Stream;

/**
 * Token sequences for a language model, which can be read any number of times in the same order.
 */
public interface TokenSource {

  /** Describes this source for provenance: file, hash, how it was split. */
  String description();

  /**
   * A lazy stream of all sequences from index {@code first} on; it may hold a file open. Sequences
   * may differ in length. <b>Closed by</b> the caller.
   */
  Stream<int[]> open(long first) throws IOException;
}
