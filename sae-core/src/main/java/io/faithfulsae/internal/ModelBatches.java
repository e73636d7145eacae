package io.faithfulsae.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.DeviceActivations;
import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.TokenSource;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.DeviceBuffer;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Forward passes over token sequences in aligned batches: sequence i is always in batch {@code i /
 * size}, so that a reader that starts at a later position gets the same bits.
 */
final class ModelBatches implements AutoCloseable {
  private final LanguageModel model;
  private final List<HookPoint> hooks;
  private final int size;
  private final Stream<int[]> stream;
  private final Iterator<int[]> sequences;
  private final List<FloatBuffer> activations = new ArrayList<>(); // by hook
  private int[][] tokens = new int[0][];
  private int length;
  private @Nullable DeviceActivations onDevice;
  private int[] waitingRows = new int[0];
  private int waiting;

  ModelBatches(
      LanguageModel model, List<HookPoint> hooks, TokenSource source, int size, long firstBatch)
      throws IOException {
    this.model = model;
    this.hooks = hooks;
    hooks.forEach(hook -> activations.add(FloatBuffer.allocate(0)));
    this.size = size;
    this.stream = source.open(firstBatch * size);
    this.sequences = stream.iterator();
  }

  /** Runs the next batch; false at the end. */
  boolean next() {
    List<int[]> batch = new ArrayList<>();
    length = 0;
    while (batch.size() < size && sequences.hasNext()) {
      int[] sequence = sequences.next();
      batch.add(sequence);
      length = Math.max(length, sequence.length);
    }
    tokens = batch.toArray(int[][]::new);
    if (batch.isEmpty()) {
      return false;
    }
    if (length > 0) {
      closeDevice();
      synchronized (model) { // a model allows one call at a time, and several readers may share it
        onDevice =
            hooks.size() > 1 ? null : model.deviceActivations(hooks.get(0), tokens).orElse(null);
        if (onDevice == null) {
          reserve();
          model.activations(hooks, tokens, activations);
        }
      }
    }
    return true;
  }

  /** The sequences of this batch, as read from the source. */
  int[][] tokens() {
    return tokens;
  }

  /**
   * Appends a row to a batch. The copy may be deferred until {@link #flush}, which must be called
   * for the same batch before the next forward pass.
   */
  void append(int sequence, int position, ActivationBatch into) {
    int row = sequence * length + position;
    int at = into.rows();
    into.rows(at + 1);
    if (onDevice == null) {
      try (DeviceBuffer.Loan loan = into.buffer().lend()) {
        int to = at * into.dIn();
        for (int i = 0; i < hooks.size(); i++) {
          int d = model.width(hooks.get(i));
          loan.floats().put(to, activations.get(i), row * d, d);
          to += d;
        }
      }
    } else {
      if (waiting == waitingRows.length) {
        waitingRows = Arrays.copyOf(waitingRows, Math.max(64, 2 * waiting));
      }
      waitingRows[waiting++] = row;
    }
  }

  /** Copies the deferred rows in one call, since on a device one row takes as long as many. */
  void flush(ActivationBatch into) {
    if (waiting > 0 && onDevice != null) {
      synchronized (model) {
        onDevice.copy(waitingRows, waiting, into, into.rows() - waiting);
      }
    }
    waiting = 0;
  }

  /** Euclidean norm of a row at the first hook. */
  double norm(int sequence, int position) {
    int row = sequence * length + position;
    if (onDevice != null) {
      return onDevice.norm(row);
    }
    int width = model.width(hooks.get(0));
    int offset = row * width;
    FloatBuffer first = activations.get(0);
    double squares = 0;
    for (int i = offset; i < offset + width; i++) {
      squares += (double) first.get(i) * first.get(i);
    }
    return Math.sqrt(squares);
  }

  @Override
  public void close() {
    closeDevice();
    stream.close();
  }

  private void closeDevice() {
    if (onDevice != null) {
      onDevice.close();
      onDevice = null;
    }
  }

  private void reserve() {
    for (int i = 0; i < hooks.size(); i++) {
      int width = model.width(hooks.get(i));
      long floats = (long) tokens.length * length * width;
      if (floats * Float.BYTES > Integer.MAX_VALUE) {
        throw new IllegalArgumentException(
            Expected.message(
                "a model batch of at most 2 GiB of activations",
                "[" + tokens.length + ", " + length + ", " + width + "]",
                "use fewer sequences per batch"));
      }
      if (activations.get(i).capacity() < floats) {
        activations.set(i, DirectBuffers.floats(floats));
      }
      activations.get(i).clear().limit((int) floats);
    }
  }
}
