package io.faithfulsae;

import java.io.IOException;
import java.util.stream.Stream;

/** Token sequences for a language model, that can be read again and again in the same order. */
public interface TokenSource {

  /** What this is, for provenance: file, hash, how it was cut. */
  String description();

  /**
   * All sequences from number {@code first} on, lazily; the stream may hold a file open. Sequences
   * may differ in length. <b>Closed by</b> the caller.
   */
  Stream<int[]> open(long first) throws IOException;
}
