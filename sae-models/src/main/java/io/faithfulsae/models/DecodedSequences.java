package io.faithfulsae.models;

import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.Tensor;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.Arrays;

/**
 * The sequences of a decoder, wherever it keeps their keys and values: their lengths, and the
 * inputs that every step has (tokens, positions, temperature).
 *
 * <p>A step is {@link #enter}, the run of the graph, then {@link #advance}: if it fails in between,
 * the sequences are as before.
 */
final class DecodedSequences {
  private final OnnxModel model;
  private final int maxLength;
  private final LongBuffer tokens;
  private final LongBuffer positions;
  private final FloatBuffer inverseTemperature = FloatRows.allocate(1).put(0, 1f);
  private final int[] lengths;
  private int rows;
  private boolean closed;

  /** All rows are active and empty. */
  DecodedSequences(OnnxModel model, int maxRows, int maxLength) {
    this.model = model;
    this.maxLength = maxLength;
    this.lengths = new int[maxRows];
    this.tokens = DirectBuffers.longs(maxRows);
    this.positions = DirectBuffers.longs(maxRows);
    this.rows = maxRows;
  }

  void start(int sequences) {
    checkOpen();
    rows = Expected.inRange("sequences", sequences, 1, lengths.length, "request a larger decoder");
    Arrays.fill(lengths, 0);
  }

  void restart(int row) {
    checkOpen();
    lengths[checked(row)] = 0;
  }

  /** Drops a row and returns the row that has to move into its place, possibly itself. */
  int drop(int row) {
    checkOpen();
    int last = rows - 1;
    lengths[checked(row)] = lengths[last];
    rows = last;
    return last;
  }

  int rows() {
    return rows;
  }

  int length(int row) {
    return lengths[checked(row)];
  }

  /** The lengths by row, not a copy. */
  int[] lengths() {
    return lengths;
  }

  int longest() {
    return Arrays.stream(lengths, 0, rows).max().orElse(0);
  }

  void temperature(double temperature) {
    if (!(temperature > 0) || Double.isInfinite(temperature)) {
      throw new IllegalArgumentException(
          Expected.message(
              "a finite temperature > 0",
              temperature,
              "use a small value to favor the likeliest token"));
    }
    inverseTemperature.put(0, (float) (1 / temperature));
  }

  /** Binds the inputs for the active rows. */
  void bindTo(Binding binding) {
    binding.input(Graphs.TOKENS, Tensor.of(tokens, rows));
    binding.input(Graphs.POSITIONS, Tensor.of(positions, rows));
    binding.input(Graphs.INVERSE_TEMPERATURE, Tensor.of(inverseTemperature, 1));
  }

  /** Sets the inputs of a step: a token for each row, at the end of its sequence. */
  void enter(int[] next) {
    checkOpen();
    for (int row = 0; row < rows; row++) {
      model.checkToken(next[row], row);
      if (lengths[row] == maxLength) {
        throw new IllegalStateException(
            Expected.message(
                "sequence " + row + " below the decoder's maximum of " + maxLength + " tokens",
                lengths[row],
                "restart it"));
      }
      tokens.put(row, next[row]);
      positions.put(row, lengths[row]);
    }
  }

  /** Counts the tokens of a step that succeeded. */
  void advance() {
    for (int row = 0; row < rows; row++) {
      lengths[row]++;
    }
  }

  void checkOpen() {
    if (closed) {
      throw new IllegalStateException("the decoder is closed");
    }
  }

  /** Returns whether it was open. */
  boolean close() {
    boolean wasOpen = !closed;
    closed = true;
    return wasOpen;
  }

  private int checked(int row) {
    if (row < 0 || row >= rows) {
      throw new IllegalArgumentException(
          Expected.message("a row in [0, " + rows + ")", row, "count from 0"));
    }
    return row;
  }
}
