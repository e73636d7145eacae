package io.faithfulsae.metrics.internal;

import java.io.IOException;

/** A source of sequences of activations in batches; can be run repeatedly. */
interface SequenceFeed {

  /** Receives batches. */
  interface BatchConsumer {
    /**
     * Receives a batch.
     *
     * @param rows the rows of the batch; valid during the call
     * @param sequences number of sequences
     * @param length positions per sequence
     */
    void accept(SequenceRows rows, int sequences, int length);
  }

  /** Describes the sequences. */
  String description();

  /** Maximum number of sequences. */
  int sequences();

  /** Reads all sequences. */
  void run(BatchConsumer use) throws IOException;

  /** The exception to throw if there were no rows. */
  IllegalArgumentException noRows();
}
