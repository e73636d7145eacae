package io.faithfulsae.metrics.internal;

import io.faithfulsae.ActivationBatch;

/** Rows of a batch of sequences of one length, of which some may have been left out. */
interface SequenceRows {
  /** The rows that are there, for SAEs to encode. */
  ActivationBatch kept();

  /** How many they are. */
  int keptRows();

  /** Where a row stands, as sequence · length + position. */
  int position(int keptRow);

  /** Σ‖x‖ over them. */
  double norms();
}
