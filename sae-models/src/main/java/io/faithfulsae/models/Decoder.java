package io.faithfulsae.models;

import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.OnnxSession;
import io.faithfulsae.models.runtime.Tensor;
import java.nio.FloatBuffer;
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
  private final OnnxModel model;
  private final OnnxSession session;
  private final DecodedSequences sequences;
  private final Interventions interventions;
  private final HostCache cache;
  private final FloatBuffer logits;
  private final FloatBuffer probabilities;
  private @Nullable Binding binding;

  Decoder(
      OnnxModel model,
      OnnxSession session,
      Interventions interventions,
      int maxRows,
      int maxLength) {
    this.model = model;
    this.session = session;
    this.interventions = interventions;
    this.sequences = new DecodedSequences(model, maxRows, maxLength);
    this.cache = new HostCache(model.dimensions(), maxRows, maxLength);
    this.logits = FloatRows.allocate(maxRows, model.vocabularySize());
    this.probabilities = FloatRows.allocate(maxRows, model.vocabularySize());
  }

  /**
   * Starts over with empty sequences.
   *
   * @param count of sequences, from 1 to the {@code rows} that the decoder was requested for
   * @throws IllegalArgumentException if there is no room for as many
   */
  public synchronized void start(int count) {
    sequences.start(count);
    cache.clear();
    unbind();
  }

  /**
   * Starts a row over with an empty sequence.
   *
   * @throws IllegalArgumentException if there is no such row
   */
  public void restart(int row) {
    sequences.restart(row);
  }

  /** Number of active sequences. */
  public int rows() {
    return sequences.rows();
  }

  /**
   * Number of tokens in a row's sequence.
   *
   * @throws IllegalArgumentException if there is no such row
   */
  public int length(int row) {
    return sequences.length(row);
  }

  /**
   * Sets the divisor of the logits in {@link #probabilities()}; initially 1.
   *
   * @throws IllegalArgumentException if it is not positive or not finite
   */
  public void temperature(double temperature) {
    sequences.temperature(temperature);
  }

  /**
   * Turns the interventions that the decoder was opened with on or off, all of them, from the next
   * step on. Tokens that were decoded before keep the keys and values they have. Initially on.
   */
  public synchronized void intervene(boolean on) {
    sequences.checkOpen();
    interventions.turn(on);
  }

  /**
   * Appends a token to each sequence and computes the logits of the next.
   *
   * @param next one token per sequence; longer arrays are fine
   * @throws IllegalStateException if a sequence has reached the maximum length
   * @throws IllegalArgumentException if a logit is NaN or infinite
   */
  public synchronized void step(int[] next) {
    sequences.enter(next);
    if (cache.fit(rows(), sequences.longest())) {
      unbind();
    }
    model.whileOpen(() -> bound().run());
    FiniteOutput.requireLogits(
        model.name(), logits, rows(), model.vocabularySize(), sequences.lengths());
    cache.append(rows(), sequences.lengths());
    sequences.advance();
  }

  /**
   * Logits of the next tokens. <b>Shape</b> {@code [rows, vocabularySize]}, valid until the next
   * step.
   */
  public FloatBuffer logits() {
    return logits.slice(0, rows() * model.vocabularySize()).asReadOnlyBuffer();
  }

  /**
   * Softmax of the logits divided by the temperature. <b>Shape</b> as {@link #logits()}, valid
   * until the next step.
   */
  public FloatBuffer probabilities() {
    return probabilities.slice(0, rows() * model.vocabularySize()).asReadOnlyBuffer();
  }

  /**
   * Drops a sequence; the last one moves into its row. Logits and probabilities do not change until
   * the next step.
   *
   * @throws IllegalArgumentException if there is no such row
   */
  public synchronized void drop(int row) {
    int last = sequences.drop(row);
    if (row != last) {
      cache.move(last, row);
    }
    unbind();
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
    int rows = rows();
    int vocabulary = model.vocabularySize();
    Binding to = session.bind();
    sequences.bindTo(to);
    interventions.bindTo(to, session.inputs());
    cache.bindTo(to, rows);
    to.output(Graphs.LOGITS, Tensor.of(logits, rows, vocabulary));
    to.output(Graphs.PROBABILITIES, Tensor.of(probabilities, rows, vocabulary));
    return to;
  }

  private void unbind() {
    if (binding != null) {
      binding.close();
      binding = null;
    }
  }

  @Override
  public synchronized void close() {
    unbind();
    sequences.close();
  }
}
