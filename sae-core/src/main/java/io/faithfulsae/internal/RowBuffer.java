package io.faithfulsae.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationFilter.Counts;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.Finite;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The shuffle buffer. It is filled from a source, which is reopened when exhausted, and shuffled in
 * an order that depends only on the seed and the number of the fill. So a resumed run only needs
 * the position in the stream before the fill: filling again gives the same rows in the same order.
 * Rows are in host memory, or in device memory if the source can write to it.
 */
public final class RowBuffer implements AutoCloseable {
  private final ActivationSource source;
  private final Backend backend;
  private final ActivationBatch rows;
  private Mark before;
  private long fill;
  private long position;
  private long epoch;
  private long rowOfEpoch;
  private Counts closedReaders;
  private @Nullable ActivationReader reader;
  private final List<Integer> passStarts = new ArrayList<>(); // rows of the fill that start a pass

  /**
   * A position between two fills.
   *
   * @param fill number of the next fill
   * @param position position of the source's next row
   * @param epoch completed passes over the source
   * @param rowOfEpoch index of the next row in this pass
   * @param counts rows that the source's filter kept and dropped so far
   */
  public record Mark(long fill, long position, long epoch, long rowOfEpoch, Counts counts) {
    /** Before anything was read. */
    public static final Mark START = new Mark(0, 0, 0, 0, Counts.ZERO);
  }

  /**
   * An empty buffer of {@code capacity} rows that continues at {@code start}. Does not open the
   * source yet.
   *
   * @param onDevice whether the rows stay on the device; the source must be able to write there
   */
  public RowBuffer(
      ActivationSource source, Backend on, boolean onDevice, int capacity, Mark start) {
    this.source = source;
    this.backend = on;
    this.rows =
        onDevice
            ? ActivationBatch.allocateOnDevice(on, capacity, source.dIn())
            : ActivationBatch.allocate(on, capacity, source.dIn());
    this.before = start;
    this.fill = start.fill();
    this.position = start.position();
    this.epoch = start.epoch();
    this.rowOfEpoch = start.rowOfEpoch();
    this.closedReaders = start.counts();
  }

  /** Replaces all rows with the next ones of the source. */
  public void fill() throws IOException {
    before = now();
    rows.rows(0);
    passStarts.clear();
    while (rows.rows() < rows.capacity()) {
      int count = ActivationSources.read(reader(), rows, null);
      if (count < 0) {
        startOver();
      } else {
        rowOfEpoch += count;
      }
    }
    fill++;
  }

  /** The position before the current fill. */
  public Mark beforeFill() {
    return before;
  }

  /** The position after the current fill. */
  public Mark now() {
    ActivationReader open = reader;
    return open == null
        ? new Mark(fill, position, epoch, rowOfEpoch, closedReaders)
        : new Mark(fill, open.position(), epoch, rowOfEpoch, closedReaders.plus(open.counts()));
  }

  /** Number of rows of the current fill. */
  public int rows() {
    return rows.rows();
  }

  /** Whether the rows are in device memory. */
  public boolean onDevice() {
    return rows.buffer().onDevice();
  }

  /** The rows of the current fill. */
  public ActivationBatch batch() {
    return rows;
  }

  /**
   * Copies the first rows of the current fill to the host, <b>Shape</b> {@code [count, dIn]}.
   *
   * @throws IllegalArgumentException if one is not finite
   */
  public FloatBuffer first(int count) {
    FloatBuffer copy = copyFirst(count);
    int at = Finite.firstOther(copy);
    if (at >= 0) {
      throw notFinite(copy.get(at), at);
    }
    return copy;
  }

  private FloatBuffer copyFirst(int count) {
    FloatBuffer copy = FloatBuffer.allocate(count * rows.dIn());
    if (!onDevice()) {
      try (DeviceBuffer.Loan loan = rows.buffer().lend()) {
        return copy.put(0, loan.floats(), 0, copy.capacity());
      }
    }
    try (DeviceBuffer numbers = backend.allocate((long) count * Integer.BYTES);
        DeviceBuffer.Loan numbered = numbers.lend();
        DeviceBuffer on = backend.allocate((long) count * rows.dIn() * Float.BYTES);
        DeviceBuffer.Loan gathered = on.lend()) {
      for (int i = 0; i < count; i++) {
        numbered.ints().put(i, i);
      }
      backend.gatherRows(rows.buffer(), rows.rows(), rows.dIn(), numbers, 0, count, 1, on);
      backend.synchronize();
      return copy.put(0, gathered.floats(), 0, copy.capacity());
    }
  }

  /** The shuffled order of the rows of the current fill for a seed. */
  public int[] order(long seed) {
    return new Rng(Purpose.SHUFFLE, seed, before.fill()).permutation(rows.rows());
  }

  @Override
  public void close() {
    try {
      if (reader != null) {
        reader.close();
        reader = null;
      }
    } finally {
      rows.close();
    }
  }

  private ActivationReader reader() throws IOException {
    if (reader == null) {
      reader = source.open(position);
    }
    return reader;
  }

  private void startOver() throws IOException {
    if (rowOfEpoch == 0) {
      throw new IOException(
          Expected.message(
              "rows from " + source.description(), "none", "check the data and the filter"));
    }
    Mark end = now();
    closedReaders = end.counts();
    reader().close();
    reader = null;
    position = 0;
    rowOfEpoch = 0;
    epoch++;
    passStarts.add(rows.rows());
  }

  /**
   * Words the problem of a step that rejected its rows: each step looks for NaN and infinity, so
   * nothing else does, but only this knows which row of the source it was.
   *
   * @param problem as the step reported it
   * @return the problem itself if all rows of the fill are finite, or are on the device
   */
  public IllegalArgumentException explain(IllegalArgumentException problem) {
    if (onDevice()) {
      return problem;
    }
    try (DeviceBuffer.Loan loan = rows.buffer().lend()) {
      FloatBuffer filled = loan.floats().limit(rows.rows() * rows.dIn());
      int at = Finite.firstOther(filled);
      if (at < 0) {
        return problem;
      }
      IllegalArgumentException named = notFinite(filled.get(at), at);
      named.initCause(problem);
      return named;
    } catch (IllegalStateException closed) {
      problem.addSuppressed(closed);
      return problem;
    }
  }

  private IllegalArgumentException notFinite(float value, int at) {
    int row = at / rows.dIn();
    long number = before.rowOfEpoch() + row;
    for (int start : passStarts) {
      if (start <= row) {
        number = (long) row - start;
      }
    }
    return new IllegalArgumentException(
        Expected.message(
            "finite activations",
            value
                + " in row "
                + number
                + ", column "
                + at % rows.dIn()
                + " (both from 0) of "
                + source.description(),
            "repair the data or drop that row"));
  }
}
