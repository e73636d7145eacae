package io.faithfulsae.models;

import io.faithfulsae.HookPoint;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.OnnxSession;
import io.faithfulsae.models.runtime.Tensor;
import io.faithfulsae.models.spi.Architecture.Dimensions;
import io.faithfulsae.models.spi.Graph.Precision;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

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
  private final Dimensions dims;
  private final SteeringInput steering;
  private final int maxLength;
  private final List<DeviceBuffer> caches = new ArrayList<>();
  private final LongBuffer tokens;
  private final LongBuffer positions;
  private final LongBuffer drawn;
  private final IntBuffer seen;
  private final IntBuffer longest = DirectBuffers.ints(1);
  private final DoubleBuffer uniforms;
  private final FloatBuffer inverseTemperature = OnnxModel.floats(1).put(0, 1f);
  private final Binding binding;
  private final int[] lengths;
  private boolean closed;

  DeviceDecoder(
      OnnxModel model,
      Backend on,
      OnnxSession session,
      Precision precision,
      @Nullable HookPoint steered,
      int rows,
      int maxLength) {
    this.model = model;
    this.dims = model.dimensions();
    this.steering = new SteeringInput(steered, dims.dModel());
    this.maxLength = maxLength;
    this.lengths = new int[rows];
    this.tokens = DirectBuffers.longs(rows);
    this.positions = DirectBuffers.longs(rows);
    this.drawn = DirectBuffers.longs(rows);
    this.seen = DirectBuffers.ints(rows);
    this.uniforms = DirectBuffers.doubles(rows);
    this.binding = session.bind();
    boolean bound = false;
    try {
      bind(on, precision, rows);
      bound = true;
    } finally {
      if (!bound) {
        close();
      }
    }
  }

  private void bind(Backend on, Precision precision, int rows) {
    binding.input(Graphs.TOKENS, Tensor.of(tokens, rows));
    binding.input(Graphs.POSITIONS, Tensor.of(positions, rows));
    binding.input(DeviceGraphs.SEEN, Tensor.of(seen, rows));
    binding.input(DeviceGraphs.LONGEST, Tensor.of(longest, 1));
    binding.input(Graphs.INVERSE_TEMPERATURE, Tensor.of(inverseTemperature, 1));
    steering.bindTo(binding);
    binding.input(DeviceGraphs.UNIFORM, Tensor.of(uniforms, rows));
    Tensor.Type type =
        switch (precision) {
          case FLOAT32 -> Tensor.Type.FLOAT32;
          case FLOAT16 -> Tensor.Type.FLOAT16;
          case BFLOAT16 -> Tensor.Type.BFLOAT16;
        };
    long width = DeviceGraphs.headWidth(dims);
    long[] shape = {rows, dims.keyValueHeads(), maxLength, width};
    long bytes = (long) type.bytes() * rows * dims.keyValueHeads() * maxLength * width;
    for (int layer = 0; layer < dims.layers(); layer++) {
      for (String what : List.of("key", "value")) {
        DeviceBuffer cache = on.allocateOnDevice(bytes);
        caches.add(cache);
        Tensor tensor = Tensor.of(cache, 0, type, shape);
        // Input and output share one buffer: the graph writes the new token's slot and nothing
        // else.
        binding.input(Graphs.cached(what, layer), tensor);
        binding.output(DeviceGraphs.grown(what, layer), tensor);
      }
    }
    binding.output(DeviceGraphs.NEXT, Tensor.of(drawn, rows));
  }

  /** Number of rows. */
  public int rows() {
    return lengths.length;
  }

  /** Number of tokens in a row's sequence. */
  public int length(int row) {
    return lengths[checked(row)];
  }

  /** Starts a row over with an empty sequence. */
  public void restart(int row) {
    lengths[checked(row)] = 0;
  }

  /** Sets the divisor of the logits; initially 1. */
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
   * Also copies logits or probabilities to the host at each step, for checks.
   *
   * @param output their name in the graph
   * @return {@code [rows, vocabularySize]}, filled by each step
   */
  FloatBuffer keep(String output) {
    FloatBuffer kept = OnnxModel.floats(rows(), dims.vocabularySize());
    binding.output(output, Tensor.of(kept, rows(), dims.vocabularySize()));
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
    checkOpen();
    int most = 0;
    for (int row = 0; row < rows(); row++) {
      model.checkToken(next[row], row);
      if (lengths[row] == maxLength) {
        throw new IllegalStateException(
            "sequence " + row + " has " + maxLength + " tokens, the decoder's maximum; restart it");
      }
      tokens.put(row, next[row]);
      positions.put(row, lengths[row]);
      seen.put(row, lengths[row]);
      uniforms.put(row, random[row]);
      most = Math.max(most, ++lengths[row]);
    }
    longest.put(0, most);
    model.whileOpen(binding::run);
    for (int row = 0; row < rows(); row++) {
      into[row] = (int) drawn.get(row);
    }
  }

  private void checkOpen() {
    if (closed) {
      throw new IllegalStateException("the decoder is closed");
    }
  }

  private int checked(int row) {
    if (row < 0 || row >= rows()) {
      throw new IllegalArgumentException(
          "expected a row in [0, " + rows() + "), got " + row + "; count from 0");
    }
    return row;
  }

  @Override
  public synchronized void close() {
    if (!closed) {
      closed = true;
      binding.close();
      caches.forEach(DeviceBuffer::close);
    }
  }
}
