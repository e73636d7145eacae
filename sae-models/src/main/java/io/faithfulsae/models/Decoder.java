package io.faithfulsae.models;

import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.OnnxSession;
import io.faithfulsae.models.runtime.Tensor;
import io.faithfulsae.models.spi.Architecture.Dimensions;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Runs sequences side by side, one token at a time; keys and values of earlier tokens are kept. All
 * sequences are equally long; a finished one can be dropped, so that it costs nothing more.
 *
 * <p><b>Memory</b>: {@code 8 * layers * keyValueHeads * headDim} bytes for each of {@code rows *
 * maxLength} tokens. <b>Threads</b>: one. <b>Closed by</b> who asked the model for it.
 */
public final class Decoder implements AutoCloseable {
  /**
   * Slots by which the visible part of the cache grows: fewer would be laid out anew too often,
   * more would be waste.
   */
  private static final int GROWTH = 32;

  private final OnnxModel model;
  private final OnnxSession session;
  private final Dimensions dims;
  private final int maxRows;
  private final int maxLength;
  private final List<CacheTensor> keys = new ArrayList<>();
  private final List<CacheTensor> values = new ArrayList<>();
  private final LongBuffer tokens;
  private final LongBuffer positions;
  private final FloatBuffer mask;
  private final FloatBuffer inverseTemperature = OnnxModel.floats(1).put(0, 1f);
  private final FloatBuffer logits;
  private final FloatBuffer probabilities;
  private @Nullable Binding binding;
  private int rows;
  private int length;
  private int capacity;
  private boolean closed;

  Decoder(OnnxModel model, OnnxSession session, int maxRows, int maxLength) {
    this.model = model;
    this.session = session;
    this.dims = model.dimensions();
    this.maxRows = maxRows;
    this.maxLength = maxLength;
    int slots = roundUp(maxLength);
    for (int layer = 0; layer < dims.layers(); layer++) {
      keys.add(new CacheTensor(maxRows, slots, dims.keyValueHeads() * dims.headDim(), 1));
      values.add(new CacheTensor(maxRows, slots, dims.keyValueHeads(), dims.headDim()));
    }
    this.tokens = OnnxModel.longs(maxRows);
    this.positions = OnnxModel.longs(maxRows);
    this.mask = OnnxModel.floats(slots);
    this.logits = OnnxModel.floats(maxRows, dims.vocabularySize());
    this.probabilities = OnnxModel.floats(maxRows, dims.vocabularySize());
    start(maxRows);
  }

  private static int roundUp(int slots) {
    return (slots + GROWTH - 1) / GROWTH * GROWTH;
  }

  /** Begins anew with empty sequences. */
  public void start(int sequences) {
    checkOpen();
    if (sequences < 1 || sequences > maxRows) {
      throw new IllegalArgumentException(
          "expected 1 to "
              + maxRows
              + " sequences, got "
              + sequences
              + "; mend: ask for a larger decoder");
    }
    rows = sequences;
    length = 0;
    capacity = GROWTH;
    for (int i = 0; i < mask.capacity(); i++) {
      mask.put(i, Float.NEGATIVE_INFINITY);
    }
    unbind();
  }

  /** Sequences under way. */
  public int rows() {
    return rows;
  }

  /** Tokens of each sequence so far. */
  public int length() {
    return length;
  }

  /** Sets what logits are divided by before {@link #probabilities()}; 1 at first. */
  public void temperature(double temperature) {
    if (!(temperature > 0) || Double.isInfinite(temperature)) {
      throw new IllegalArgumentException(
          "expected a temperature > 0, got "
              + temperature
              + "; mend: use a small one for the likeliest token");
    }
    inverseTemperature.put(0, (float) (1 / temperature));
  }

  /**
   * Appends a token to each sequence and computes what may follow.
   *
   * @param next one token a sequence; longer arrays are fine
   * @throws IllegalStateException if the sequences are as long as they may be
   */
  public void step(int[] next) {
    checkOpen();
    if (length == maxLength) {
      throw new IllegalStateException(
          "the sequences have " + maxLength + " tokens, as many as the decoder was made for");
    }
    for (int row = 0; row < rows; row++) {
      model.checkToken(next[row], row);
      tokens.put(row, next[row]);
      positions.put(row, length);
    }
    if (length == capacity) {
      grow();
    }
    if (binding == null) {
      binding = bind();
    }
    binding.run();
    forEachCache(cache -> cache.append(rows, capacity, length));
    mask.put(length, 0f);
    length++;
  }

  /**
   * Logits after the newest tokens. <b>Shape</b> {@code [rows, vocabularySize]}, valid until the
   * next step.
   */
  public FloatBuffer logits() {
    return logits.slice(0, rows * dims.vocabularySize()).asReadOnlyBuffer();
  }

  /**
   * Softmax of the logits over the temperature. <b>Shape</b> as {@link #logits()}, valid until the
   * next step.
   */
  public FloatBuffer probabilities() {
    return probabilities.slice(0, rows * dims.vocabularySize()).asReadOnlyBuffer();
  }

  /**
   * Drops a sequence; the last one takes its row. Logits and probabilities stay as they were until
   * the next step.
   *
   * @throws IllegalArgumentException if there is no such row
   */
  public void drop(int row) {
    checkOpen();
    if (row < 0 || row >= rows) {
      throw new IllegalArgumentException(
          "expected a row in [0, " + rows + "), got " + row + "; mend: drop from the end");
    }
    rows--;
    if (row != rows) {
      forEachCache(cache -> cache.move(rows, row, capacity));
    }
    unbind();
  }

  private void grow() {
    int wider = capacity + GROWTH;
    forEachCache(cache -> cache.grow(rows, capacity, wider));
    capacity = wider;
    unbind();
  }

  private void forEachCache(Consumer<CacheTensor> action) {
    keys.forEach(action);
    values.forEach(action);
  }

  private Binding bind() {
    long kv = dims.keyValueHeads();
    Binding to = session.bind();
    to.input(Graphs.TOKENS, Tensor.of(tokens, rows));
    to.input(Graphs.POSITIONS, Tensor.of(positions, rows));
    to.input(Graphs.MASK, Tensor.of(mask, 1, capacity));
    to.input(Graphs.INVERSE_TEMPERATURE, Tensor.of(inverseTemperature, 1));
    for (int layer = 0; layer < dims.layers(); layer++) {
      CacheTensor key = keys.get(layer);
      CacheTensor value = values.get(layer);
      to.input(
          Graphs.cached("key", layer), Tensor.of(key.kept(), rows, kv, dims.headDim(), capacity));
      to.input(
          Graphs.cached("value", layer),
          Tensor.of(value.kept(), rows, kv, capacity, dims.headDim()));
      to.output(Graphs.fresh("key", layer), Tensor.of(key.fresh(), rows, kv, 1, dims.headDim()));
      to.output(
          Graphs.fresh("value", layer), Tensor.of(value.fresh(), rows, kv, 1, dims.headDim()));
    }
    to.output(Graphs.LOGITS, Tensor.of(logits, rows, dims.vocabularySize()));
    to.output(Graphs.PROBABILITIES, Tensor.of(probabilities, rows, dims.vocabularySize()));
    return to;
  }

  private void unbind() {
    if (binding != null) {
      binding.close();
      binding = null;
    }
  }

  private void checkOpen() {
    if (closed) {
      throw new IllegalStateException("the decoder is closed");
    }
  }

  @Override
  public void close() {
    unbind();
    closed = true;
  }
}
