package io.faithfulsae;

import java.io.IOException;

/** One pass over the rows of an {@link ActivationSource}. <b>Closed by</b> who opened it. */
public interface ActivationReader extends AutoCloseable {

  /**
   * Appends rows to a batch until it is full or the source has no more at hand; never keeps {@code
   * into}.
   *
   * @param into rows are added behind those it holds ({@link ActivationBatch#rows()} grows).
   *     Modified.
   * @return the number of rows added, at least 1 unless the batch was full, or -1 at the end of the
   *     source
   */
  int read(ActivationBatch into) throws IOException;

  /**
   * As {@link #read(ActivationBatch)}, noting where each row comes from.
   *
   * @param origins rows are added behind those it holds; stays as it is where the source does not
   *     know. Modified.
   */
  default int read(ActivationBatch into, RowOrigins origins) throws IOException {
    return read(into);
  }

  /** Position of the next row: {@link ActivationSource#open} with it continues exactly there. */
  long position();

  /**
   * What this reader kept and left out since it was opened; all zero where nothing is ever left
   * out.
   */
  default ActivationFilter.Counts counts() {
    return ActivationFilter.Counts.ZERO;
  }

  @Override
  void close();
}
