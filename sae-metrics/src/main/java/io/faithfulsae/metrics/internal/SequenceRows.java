package io.faithfulsae.metrics.internal;

import io.faithfulsae.ActivationBatch;

/** Rows of a batch of sequences of equal length; some rows may have been excluded. */
interface SequenceRows {
  /** The remaining rows, for SAEs to encode. */
  ActivationBatch kept();

  /** Number of remaining rows. */
  int keptRows();

  /** The place of a row in the batch, as sequence · length + position. */
  int position(int keptRow);

  /**
   * The end of a sequence's rows, exclusive. Rows are in the order of the sequences.
   *
   * @param first the end of the previous sequence's rows, 0 for the first sequence
   * @param sequence number of the sequence in the batch
   * @param length positions per sequence
   */
  default int end(int first, int sequence, int length) {
    int end = first;
    while (end < keptRows() && position(end) / length == sequence) {
      end++;
    }
    return end;
  }

  /** Σ‖x‖ over the remaining rows. */
  double norms();
}
