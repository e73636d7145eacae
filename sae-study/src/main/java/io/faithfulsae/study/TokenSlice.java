package io.faithfulsae.study;

import io.faithfulsae.TokenSource;
import java.io.IOException;
import java.util.stream.Stream;

/**
 * A range of a source's sequences.
 *
 * @param of the source
 * @param from index of the first sequence
 * @param count number of sequences
 */
public record TokenSlice(TokenSource of, long from, long count) implements TokenSource {
  @Override
  public String description() {
    return "%s, sequences %d to %d".formatted(of.description(), from, from + count - 1);
  }

  @Override
  public Stream<int[]> open(long first) throws IOException {
    return of.open(from + first).limit(Math.max(0, count - first));
  }
}
