package io.faithfulsae.models;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.DeviceActivations;
import io.faithfulsae.HookPoint;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.OnnxSession;
import io.faithfulsae.models.runtime.Tensor;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import org.jspecify.annotations.Nullable;

/** Activations in a backend's memory; a graph gathers rows without copying to the host. */
final class TappedRows implements DeviceActivations {
  private final OnnxModel model;
  private final OnnxSession gather;
  private final Spare spare;
  private final DeviceBuffer buffer;
  private final FloatBuffer norms;
  private final int rows;
  private final int width;
  private boolean closed;

  /** A returned buffer, kept for the next batch: allocating on a device is slow. */
  static final class Spare implements AutoCloseable {
    private @Nullable DeviceBuffer buffer;
    private boolean closed;

    synchronized DeviceBuffer take(Backend on, long bytes) {
      DeviceBuffer kept = buffer;
      buffer = null;
      if (kept != null && kept.bytes() >= bytes) {
        return kept;
      }
      if (kept != null) {
        kept.close();
      }
      return on.allocateOnDevice(bytes);
    }

    synchronized void giveBack(DeviceBuffer back) {
      if (buffer == null && !closed) {
        buffer = back;
      } else {
        back.close();
      }
    }

    @Override
    public synchronized void close() {
      closed = true;
      if (buffer != null) {
        buffer.close();
        buffer = null;
      }
    }
  }

  private TappedRows(
      OnnxModel model, OnnxSession gather, Spare spare, DeviceBuffer buffer, int rows, int width) {
    this.model = model;
    this.gather = gather;
    this.spare = spare;
    this.buffer = buffer;
    this.norms = FloatRows.allocate(rows);
    this.rows = rows;
    this.width = width;
  }

  static TappedRows of(
      OnnxModel model, Backend on, OnnxSession gather, Spare spare, int rows, int width) {
    DeviceBuffer buffer = spare.take(on, (long) rows * width * Float.BYTES);
    return new TappedRows(model, gather, spare, buffer, rows, width);
  }

  void bindTo(Binding binding) {
    binding.output(Graphs.ACTIVATIONS, block());
    binding.output(DeviceGraphs.NORMS, Tensor.of(norms, rows));
  }

  /** The norms show whether rows are finite that stay on the device. */
  void requireFinite(String model, HookPoint hook, int[][] tokens, int length) {
    for (int sequence = 0; sequence < tokens.length; sequence++) {
      for (int at = 0; at < tokens[sequence].length; at++) {
        double norm = norm(sequence * length + at);
        if (!Double.isFinite(norm)) {
          throw FiniteOutput.problem(
              model,
              hook + " activations",
              (float) norm,
              "sequence %d, position %d, their norm".formatted(sequence, at));
        }
      }
    }
  }

  private Tensor block() {
    return Tensor.of(buffer, 0, Tensor.Type.FLOAT32, rows, width);
  }

  @Override
  public double norm(int row) {
    return norms.get(row);
  }

  @Override
  public void copy(int[] from, int count, ActivationBatch into, int first) {
    checkOpen();
    if (into.dIn() != width || count < 1 || first < 0 || first + count > into.capacity()) {
      throw new IllegalArgumentException(
          Expected.message(
              "room for rows of " + width + " in [" + first + ", " + (first + count) + ")",
              "a batch of [" + into.capacity() + ", " + into.dIn() + "]",
              "pass a larger batch or fewer rows"));
    }
    LongBuffer indices = DirectBuffers.longs(count);
    for (int i = 0; i < count; i++) {
      if (from[i] < 0 || from[i] >= rows) {
        throw new IllegalArgumentException(
            Expected.message("a row in [0, " + rows + ")", from[i], "count from 0"));
      }
      indices.put(i, from[i]);
    }
    long offset = (long) first * width * Float.BYTES;
    Tensor target = Tensor.of(into.buffer(), offset, Tensor.Type.FLOAT32, count, width);
    model.whileOpen(() -> gather(Tensor.of(indices, count), target));
  }

  private void gather(Tensor indices, Tensor into) {
    try (Binding binding = gather.bind()) {
      binding.input(DeviceGraphs.DATA, block());
      binding.input(DeviceGraphs.INDICES, indices);
      binding.output(Graphs.ACTIVATIONS, into);
      binding.run();
    }
  }

  private void checkOpen() {
    if (closed) {
      throw new IllegalStateException("the activations are closed");
    }
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      spare.giveBack(buffer);
    }
  }
}
