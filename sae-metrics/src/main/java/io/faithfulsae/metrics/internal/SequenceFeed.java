package io.faithfulsae.metrics.internal;

import java.io.IOException;

/** Sequences of activations, batch by batch, from wherever they come; may be run again. */
interface SequenceFeed {

  /** Takes a batch. */
  interface Taker {
    /** {@code rows} are those of {@code sequences} sequences of {@code length} positions. */
    void take(SequenceRows rows, int sequences, int length);
  }

  /** What they are. */
  String description();

  /** The most sequences there can be. */
  int sequences();

  /** Hands out all of them. */
  void run(Taker taker) throws IOException;

  /** What to say when nothing was handed out. */
  IllegalArgumentException nothing();
}
