package io.faithfulsae.models;

import io.faithfulsae.HookPoint;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.OnnxSession;
import io.faithfulsae.models.runtime.Tensor;
import io.faithfulsae.models.spi.Architecture.Dimensions;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Decodes sequences in parallel, one token at a time, with a KV cache. Sequences may differ in
 * length: a finished one can be replaced by a new one ({@link #restart}), or dropped so that it
 * costs nothing more. The results for a sequence do not depend on the others in the batch.
 *
 * <p>Attention costs the same for every sequence: that of the longest.
 *
 * <p><b>Memory</b>: {@code 8 * layers * keyValueHeads * headDim} bytes for each of {@code rows *
 * maxLength} tokens. <b>Threads</b>: one. <b>Closed by</b> the caller that requested it.
 */
public final class Decoder implements AutoCloseable {
  /**
   * Slots by which the visible part of the cache grows: with fewer, it would be copied too often;
   * with more, too many would be empty.
   */
  private static final int GROWTH = 32;

  private final OnnxModel model;
  private final OnnxSession session;
  private final Dimensions dims;
  private final SteeringInput steering;
  private final int maxRows;
  private final int maxLength;
  private final List<CacheTensor> keys = new ArrayList<>();
  private final List<CacheTensor> values = new ArrayList<>();
  private final LongBuffer tokens;
  private final LongBuffer positions;
  private final FloatBuffer inverseTemperature = OnnxModel.floats(1).put(0, 1f);
  private final FloatBuffer logits;
  private final FloatBuffer probabilities;
  private final int[] lengths;
  private @Nullable Binding binding;
  private int rows;
  private int capacity;
  private boolean closed;

  Decoder(
      OnnxModel model,
      OnnxSession session,
      @Nullable HookPoint steered,
      int maxRows,
      int maxLength) {
    this.model = model;
    this.session = session;
    this.dims = model.dimensions();
    this.steering = new SteeringInput(steered, dims.dModel());
    this.maxRows = maxRows;
    this.maxLength = maxLength;
    this.lengths = new int[maxRows];
    int slots = roundUp(maxLength);
    for (int layer = 0; layer < dims.layers(); layer++) {
      keys.add(new CacheTensor(maxRows, slots, dims.keyValueHeads() * dims.headDim(), 1));
      values.add(new CacheTensor(maxRows, slots, dims.keyValueHeads(), dims.headDim()));
    }
    this.tokens = DirectBuffers.longs(maxRows);
    this.positions = DirectBuffers.longs(maxRows);
    this.logits = OnnxModel.floats(maxRows, dims.vocabularySize());
    this.probabilities = OnnxModel.floats(maxRows, dims.vocabularySize());
    start(maxRows);
  }

  private static int roundUp(int slots) {
    return (slots + GROWTH - 1) / GROWTH * GROWTH;
  }

  /** Starts over with empty sequences. */
  public synchronized void start(int sequences) {
    checkOpen();
    if (sequences < 1 || sequences > maxRows) {
      throw new IllegalArgumentException(
          "expected 1 to "
              + maxRows
              + " sequences, got "
              + sequences
              + "; ask for a larger decoder");
    }
    rows = sequences;
    Arrays.fill(lengths, 0);
    capacity = GROWTH;
    unbind();
  }

  /**
   * Starts a row over with an empty sequence.
   *
   * @throws IllegalArgumentException if there is no such row
   */
  public void restart(int row) {
    checkOpen();
    checkRow(row);
    lengths[row] = 0;
  }

  /** Number of active sequences. */
  public int rows() {
    return rows;
  }

  /**
   * Number of tokens in a row's sequence.
   *
   * @throws IllegalArgumentException if there is no such row
   */
  public int length(int row) {
    checkRow(row);
    return lengths[row];
  }

  /** Sets the divisor of the logits in {@link #probabilities()}; initially 1. */
  public void temperature(double temperature) {
    if (!(temperature > 0) || Double.isInfinite(temperature)) {
      throw new IllegalArgumentException(
          "expected a temperature > 0, got "
              + temperature
              + "; use a small value to favor the likeliest token");
    }
    inverseTemperature.put(0, (float) (1 / temperature));
  }

  /**
   * Steers from the next step on: adds {@code coefficient * vector} to the activations of every row
   * at the hook point that the decoder was opened with. Tokens that were decoded before keep the
   * keys and values they have. Not steered at first.
   *
   * @param vector steering vector, {@code [dModel]}, such as an SAE's {@code
   *     decoderDirection(latent)}. Not modified, not kept.
   * @param coefficient how many times it is added; 0 turns steering off, negative steers away
   * @throws IllegalArgumentException if the vector has another length, or the product overflows
   * @throws IllegalStateException if the decoder was opened without a hook point
   */
  public synchronized void steer(float[] vector, double coefficient) {
    checkOpen();
    steering.set(vector, coefficient);
  }

  /**
   * Appends a token to each sequence and computes the logits of the next.
   *
   * @param next one token per sequence; longer arrays are fine
   * @throws IllegalStateException if a sequence has reached the maximum length
   * @throws IllegalArgumentException if a logit is NaN or infinite
   */
  public synchronized void step(int[] next) {
    checkOpen();
    int longest = 0;
    for (int row = 0; row < rows; row++) {
      model.checkToken(next[row], row);
      if (lengths[row] == maxLength) {
        throw new IllegalStateException(
            "sequence "
                + row
                + " has "
                + maxLength
                + " tokens, the decoder's maximum; restart or drop it");
      }
      tokens.put(row, next[row]);
      positions.put(row, lengths[row]);
      longest = Math.max(longest, lengths[row]);
    }
    fit(longest);
    model.whileOpen(() -> bound().run());
    FiniteOutput.requireLogits(model.name(), logits, rows, dims.vocabularySize(), lengths);
    forEachCache(cache -> cache.append(rows, capacity, lengths));
    for (int row = 0; row < rows; row++) {
      lengths[row]++;
    }
  }

  /**
   * Logits of the next tokens. <b>Shape</b> {@code [rows, vocabularySize]}, valid until the next
   * step.
   */
  public FloatBuffer logits() {
    return logits.slice(0, rows * dims.vocabularySize()).asReadOnlyBuffer();
  }

  /**
   * Softmax of the logits divided by the temperature. <b>Shape</b> as {@link #logits()}, valid
   * until the next step.
   */
  public FloatBuffer probabilities() {
    return probabilities.slice(0, rows * dims.vocabularySize()).asReadOnlyBuffer();
  }

  /**
   * Drops a sequence; the last one moves into its row. Logits and probabilities do not change until
   * the next step.
   *
   * @throws IllegalArgumentException if there is no such row
   */
  public synchronized void drop(int row) {
    checkOpen();
    checkRow(row);
    rows--;
    if (row != rows) {
      lengths[row] = lengths[rows];
      forEachCache(cache -> cache.move(rows, row, capacity));
    }
    unbind();
  }

  /** Makes room for one more token; shrinks if much is unused, since empty slots cost time too. */
  private void fit(int longest) {
    int wanted = roundUp(longest + 1);
    if (wanted > capacity || wanted <= capacity / 2) {
      forEachCache(cache -> cache.resize(rows, capacity, wanted, longest));
      capacity = wanted;
      unbind();
    }
  }

  private void forEachCache(Consumer<CacheTensor> action) {
    keys.forEach(action);
    values.forEach(action);
  }

  private Binding bound() {
    Binding known = binding;
    if (known == null) {
      known = bind();
      binding = known;
    }
    return known;
  }

  private Binding bind() {
    long kv = dims.keyValueHeads();
    Binding to = session.bind();
    to.input(Graphs.TOKENS, Tensor.of(tokens, rows));
    to.input(Graphs.POSITIONS, Tensor.of(positions, rows));
    to.input(Graphs.INVERSE_TEMPERATURE, Tensor.of(inverseTemperature, 1));
    steering.bindTo(to);
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

  private void checkRow(int row) {
    if (row < 0 || row >= rows) {
      throw new IllegalArgumentException(
          "expected a row in [0, " + rows + "), got " + row + "; count from 0");
    }
  }

  private void checkOpen() {
    if (closed) {
      throw new IllegalStateException("the decoder is closed");
    }
  }

  @Override
  public synchronized void close() {
    unbind();
    closed = true;
  }
}
