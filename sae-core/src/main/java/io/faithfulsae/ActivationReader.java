package io.faithfulsae;

import java.io.IOException;

/** One pass over the rows of an {@link ActivationSource}. <b>Closed by</b> whoever opened it. */
public interface ActivationReader extends AutoCloseable {

  /**
   * Appends rows to a batch until it is full or the source has no more available for now. Does not
   * retain {@code into}.
   *
   * @param into rows are appended to it ({@link ActivationBatch#rows()} grows). Modified.
   * @return the number of rows added, at least 1 unless the batch was full, or -1 at the end of the
   *     source
   */
  int read(ActivationBatch into) throws IOException;

  /**
   * Like {@link #read(ActivationBatch)}, and records where each row comes from.
   *
   * @param origins the new rows' origins are appended to it; unchanged if the source does not know
   *     them. Modified.
   */
  default int read(ActivationBatch into, RowOrigins origins) throws IOException {
    return read(into);
  }

  /** Position of the next row; {@link ActivationSource#open} continues from there. */
  long position();

  /** Rows that this reader kept and dropped since it was opened; all zero if it never drops any. */
  default ActivationFilter.Counts counts() {
    return ActivationFilter.Counts.ZERO;
  }

  @Override
  void close();
}
