package io.faithfulsae.study;

import io.faithfulsae.TokenSource;
import io.faithfulsae.io.Expected;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/**
 * Interleaves sequences from several sources in fixed shares as evenly as possible, so that any
 * prefix has nearly the same shares; each source's sequences stay in order.
 *
 * @param description for provenance
 * @param parts the sources
 * @param shares of each, summing to 1
 * @param count sequences in the mixture, at most what the parts allow for these shares
 */
record MixedTokens(String description, List<TokenSource> parts, List<Double> shares, long count)
    implements TokenSource {

  /** The maximum number of sequences in these shares, for parts of these sizes. */
  static long most(List<Long> sizes, List<Double> shares) {
    long most = Long.MAX_VALUE;
    for (int i = 0; i < sizes.size(); i++) {
      if (shares.get(i) > 0) {
        most = Math.min(most, (long) Math.floor(sizes.get(i) / shares.get(i) + 1e-9));
      }
    }
    return most;
  }

  @Override
  public Stream<int[]> open(long first) throws IOException {
    long[] taken = new long[parts.size()];
    for (long i = 0; i < Math.min(first, count); i++) {
      taken[next(taken, i)]++;
    }
    List<Stream<int[]>> open = new ArrayList<>();
    try {
      for (int p = 0; p < parts.size(); p++) {
        open.add(parts.get(p).open(taken[p]));
      }
    } catch (IOException | RuntimeException e) {
      open.forEach(Stream::close);
      throw e;
    }
    List<Iterator<int[]>> each = open.stream().map(Stream::iterator).toList();
    return LongStream.range(Math.min(first, count), count)
        .mapToObj(
            i -> {
              int part = next(taken, i);
              taken[part]++;
              if (!each.get(part).hasNext()) {
                throw new UncheckedIOException(
                    new IOException(
                        Expected.message(
                            count + " sequences of " + description,
                            i,
                            "delete that data set's steps to redo them")));
              }
              return each.get(part).next();
            })
        .onClose(() -> open.forEach(Stream::close));
  }

  /** The part that would be furthest below its share if not chosen next; the first of several. */
  private int next(long[] taken, long done) {
    int best = 0;
    double lag = Double.NEGATIVE_INFINITY;
    for (int p = 0; p < taken.length; p++) {
      double behind = shares.get(p) * (done + 1) - taken[p];
      if (shares.get(p) > 0 && behind > lag + 1e-9) {
        best = p;
        lag = behind;
      }
    }
    return best;
  }
}
