package io.faithfulsae.models;

import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.models.WholeSequences.Batch;
import java.nio.LongBuffer;
import java.util.Arrays;

/** Token ids of a batch of sequences, validated and padded for a graph. */
final class TokenIds {
  private final int vocabularySize;
  private final int contextLength;
  private final int padding;
  private LongBuffer ids = DirectBuffers.longs(0);

  /**
   * Creates an empty batch.
   *
   * @param padding token that fills shorter sequences; no token before it attends to it
   */
  TokenIds(int vocabularySize, int contextLength, int padding) {
    this.vocabularySize = vocabularySize;
    this.contextLength = contextLength;
    this.padding = padding;
  }

  /**
   * Sets the sequences, padded to the length of the longest.
   *
   * @throws IllegalArgumentException if there are none, or one is too long or contains a token
   *     outside the vocabulary
   */
  Batch fill(int[][] tokens) {
    int length = Arrays.stream(tokens).mapToInt(row -> row.length).max().orElse(0);
    checkLength(tokens.length, length);
    ids = ensure(ids, Math.multiplyExact(tokens.length, length));
    int at = 0;
    for (int row = 0; row < tokens.length; row++) {
      for (int token : tokens[row]) {
        check(token, row);
        ids.put(at++, token);
      }
      while (at < (row + 1) * length) {
        ids.put(at++, padding);
      }
    }
    return new Batch(tokens.length, length, ids);
  }

  static LongBuffer ensure(LongBuffer buffer, int size) {
    return buffer.capacity() >= size ? buffer : DirectBuffers.longs(size);
  }

  void check(int token, int row) {
    if (token < 0 || token >= vocabularySize) {
      throw new IllegalArgumentException(
          Expected.message(
              "tokens in [0, " + vocabularySize + ")",
              token + " in sequence " + row,
              "use this model's tokenizer"));
    }
  }

  void checkLength(int batch, int length) {
    if (batch < 1 || length < 1 || length > contextLength) {
      throw new IllegalArgumentException(
          Expected.message(
              "at least one sequence of 1 to " + contextLength + " tokens",
              batch + " of " + length,
              "cut longer ones"));
    }
  }
}
