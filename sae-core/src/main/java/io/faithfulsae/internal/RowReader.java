package io.faithfulsae.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.io.Expected;
import java.io.IOException;

/** A reader of indexed rows: a position is the index of the next row. */
public abstract class RowReader implements ActivationReader {
  private final long end;
  private long next;

  /** Starts at a position in [0, end]. */
  protected RowReader(long end, long position) {
    if (position < 0 || position > end) {
      throw new IllegalArgumentException(
          Expected.message(
              "a position in [0, " + end + "]", position, "use a position of this source"));
    }
    this.end = end;
    this.next = position;
  }

  /** Appends {@code count} rows to {@code into}. */
  protected abstract void copy(long first, int count, ActivationBatch into) throws IOException;

  @Override
  public int read(ActivationBatch into) throws IOException {
    if (next == end) {
      return -1;
    }
    int count = (int) Math.min(end - next, into.capacity() - into.rows());
    copy(next, count, into);
    into.rows(into.rows() + count);
    next += count;
    return count;
  }

  @Override
  public long position() {
    return next;
  }

  @Override
  public void close() {}
}
