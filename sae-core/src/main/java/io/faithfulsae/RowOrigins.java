package io.faithfulsae;

import java.util.Arrays;

/**
 * Where rows of activations come from: the sequence of a text, the position in it, and the token
 * there. Entry i describes row i of a batch if both started empty.
 *
 * <p><b>Threads</b>: one at a time.
 */
public final class RowOrigins {
  private int[] sequences = new int[1024];
  private int[] positions = new int[1024];
  private int[] tokens = new int[1024];
  private int size;

  /** An empty list. */
  public RowOrigins() {}

  /** Appends a row. */
  public void add(int sequence, int position, int token) {
    if (size == sequences.length) {
      sequences = Arrays.copyOf(sequences, 2 * size);
      positions = Arrays.copyOf(positions, 2 * size);
      tokens = Arrays.copyOf(tokens, 2 * size);
    }
    sequences[size] = sequence;
    positions[size] = position;
    tokens[size] = token;
    size++;
  }

  /** Removes all rows. */
  public void clear() {
    size = 0;
  }

  /** Number of rows. */
  public int size() {
    return size;
  }

  /** Index of a row's sequence in its text, from 0. */
  public int sequence(int row) {
    return sequences[row];
  }

  /** A row's position in its sequence, from 0. */
  public int position(int row) {
    return positions[row];
  }

  /** Id of the token at that position. */
  public int token(int row) {
    return tokens[row];
  }
}
