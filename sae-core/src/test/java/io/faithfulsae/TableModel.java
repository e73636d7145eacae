package io.faithfulsae;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;

/** A model whose activations are a table of token and position. */
final class TableModel implements LanguageModel {
  static final int D = 4;
  static final int INFINITE = 13;
  private final float atLayer0;

  /** With the same activations at both layers. */
  TableModel() {
    this(0);
  }

  /**
   * With other activations at layer 0.
   *
   * @param atLayer0 what is added there
   */
  TableModel(float atLayer0) {
    this.atLayer0 = atLayer0;
  }

  @Override
  public String name() {
    return "table";
  }

  @Override
  public int dModel() {
    return D;
  }

  @Override
  public int vocabularySize() {
    return 2000;
  }

  @Override
  public int contextLength() {
    return 8;
  }

  @Override
  public int bosToken() {
    return 1;
  }

  @Override
  public int eosToken() {
    return 0;
  }

  @Override
  public List<HookPoint> hookPoints() {
    return List.of(HookPoint.residPre(0), HookPoint.residPre(1));
  }

  @Override
  public void activations(HookPoint hook, int[][] tokens, FloatBuffer into) {
    FloatBuffer target = into.duplicate();
    int length = Arrays.stream(tokens).mapToInt(sequence -> sequence.length).max().orElse(0);
    for (int[] sequence : tokens) {
      for (int p = 0; p < sequence.length; p++) {
        for (int i = 0; i < D; i++) {
          float value = row(sequence[p], p) + (hook.layer() == 0 ? atLayer0 : 0);
          target.put(sequence[p] == INFINITE ? Float.POSITIVE_INFINITY : value);
        }
      }
      for (int i = sequence.length * D; i < length * D; i++) {
        target.put(Float.NaN); // after the end of a sequence, which no reader may use
      }
    }
    assertEquals(0, target.remaining());
  }

  @Override
  public void logits(int[][] tokens, FloatBuffer into) {
    throw new UnsupportedOperationException();
  }

  @Override
  public void logitsFrom(
      HookPoint hook, FloatBuffer activations, int batch, int length, FloatBuffer into) {
    throw new UnsupportedOperationException();
  }

  @Override
  public void close() {}

  /** Value of each of the four elements of a row of this model. */
  static float row(int token, int position) {
    return token == 7 ? 1e4f : token * 10 + position;
  }

  static TokenSource text(int[][] sequences) {
    return new TokenSource() {
      @Override
      public String description() {
        return "a test's text";
      }

      @Override
      public Stream<int[]> open(long first) {
        return Arrays.stream(sequences).skip(first);
      }
    };
  }
}
