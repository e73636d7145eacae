package io.faithfulsae.models;

import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.OnnxSession;
import io.faithfulsae.models.runtime.Tensor;
import io.faithfulsae.spi.Backend;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;

/**
 * Samples sequences in parallel on the model's device: keys, values, logits and probabilities stay
 * there; one token and one random number per row go in, and one token per row comes out. Rows may
 * differ in length, and each can be restarted at any time.
 *
 * <p><b>Memory</b>, on the device: {@code 2 * layers * keyValueHeads * headDim} elements in the
 * model's precision for each of {@code rows * maxLength} tokens. <b>Threads</b>: one. <b>Closed
 * by</b> the caller that requested it.
 */
public final class DeviceDecoder implements AutoCloseable {
  private final OnnxModel model;
  private final DecodedSequences sequences;
  private final Interventions interventions;
  private final DeviceCache cache;
  private final LongBuffer drawn;
  private final IntBuffer seen;
  private final IntBuffer longest = DirectBuffers.ints(1);
  private final DoubleBuffer uniforms;
  private final Binding binding;

  /**
   * @param cache closed with this
   */
  DeviceDecoder(
      OnnxModel model,
      Backend on,
      OnnxSession session,
      Interventions interventions,
      DecodedSequences sequences,
      DeviceCache cache) {
    this.model = model;
    this.sequences = sequences;
    this.interventions = interventions;
    this.cache = cache;
    int rows = sequences.rows();
    this.drawn = DirectBuffers.longs(rows);
    this.seen = DirectBuffers.ints(rows);
    this.uniforms = DirectBuffers.doubles(rows);
    this.binding = session.bind();
    boolean bound = false;
    try {
      sequences.bindTo(binding);
      interventions.bindTo(binding, session.inputs());
      binding.input(DeviceGraphs.SEEN, Tensor.of(seen, rows));
      binding.input(DeviceGraphs.LONGEST, Tensor.of(longest, 1));
      binding.input(DeviceGraphs.UNIFORM, Tensor.of(uniforms, rows));
      cache.bindTo(binding, on);
      binding.output(DeviceGraphs.NEXT, Tensor.of(drawn, rows));
      bound = true;
    } finally {
      if (!bound) {
        close();
      }
    }
  }

  /** Number of rows. */
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
   * Starts a row over with an empty sequence.
   *
   * @throws IllegalArgumentException if there is no such row
   */
  public void restart(int row) {
    sequences.restart(row);
  }

  /**
   * Sets the divisor of the logits; initially 1.
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
   * Also copies logits or probabilities to the host at each step, for checks.
   *
   * @param output their name in the graph
   * @return {@code [rows, vocabularySize]}, filled by each step
   */
  FloatBuffer keep(String output) {
    FloatBuffer kept = FloatRows.allocate(rows(), model.vocabularySize());
    binding.output(output, Tensor.of(kept, rows(), model.vocabularySize()));
    return kept;
  }

  /**
   * Appends a token to each sequence and samples the next.
   *
   * @param next one token per row; longer arrays are fine. Not modified.
   * @param random one number in [0, 1) per row; the same number draws the same token. Not modified.
   * @param into one token per row; may be {@code next}. Modified.
   * @throws IllegalStateException if a sequence has reached the maximum length
   */
  public synchronized void step(int[] next, double[] random, int[] into) {
    sequences.enter(next);
    for (int row = 0; row < rows(); row++) {
      seen.put(row, sequences.length(row));
      uniforms.put(row, random[row]);
    }
    longest.put(0, sequences.longest() + 1);
    model.whileOpen(binding::run);
    sequences.advance();
    for (int row = 0; row < rows(); row++) {
      into[row] = (int) drawn.get(row);
    }
  }

  @Override
  public synchronized void close() {
    if (sequences.close()) {
      binding.close();
      cache.close();
    }
  }
}
