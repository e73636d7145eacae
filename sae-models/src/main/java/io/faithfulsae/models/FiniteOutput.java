package io.faithfulsae.models;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.Finite;
import io.faithfulsae.models.WholeSequences.Batch;
import java.nio.FloatBuffer;

/** Rejects NaN and infinity in a model's output before anything uses it. */
final class FiniteOutput {
  private FiniteOutput() {}

  /**
   * Checks whole sequences.
   *
   * @param what was computed, such as a hook point
   * @param values <b>Shape</b> {@code [batch, length, width]} from the buffer's position
   * @throws IllegalArgumentException naming the model, what was computed, and where
   */
  static void require(String model, String what, FloatBuffer values, Batch batch, int width) {
    int at = Finite.firstOther(values.slice(values.position(), batch.rows() * width));
    if (at >= 0) {
      int row = at / width;
      int length = batch.length();
      throw problem(
          model,
          what,
          values.get(values.position() + at),
          "sequence %d, position %d, column %d".formatted(row / length, row % length, at % width));
    }
  }

  /** Checks the next-token logits of sequences of the given {@code lengths}. */
  static void requireLogits(
      String model, FloatBuffer logits, int rows, int vocabulary, int[] lengths) {
    int at = Finite.firstOther(logits.slice(0, rows * vocabulary));
    if (at >= 0) {
      int row = at / vocabulary;
      throw problem(
          model,
          "logits",
          logits.get(at),
          "sequence %d, position %d, token %d".formatted(row, lengths[row], at % vocabulary));
    }
  }

  static IllegalArgumentException problem(String model, String what, float got, String where) {
    return new IllegalArgumentException(
        Expected.message(
            "finite " + what + " from " + model,
            got + " at " + where + " (counted from 0)",
            "check its weights, or compute in float32"));
  }
}
