package io.faithfulsae;

import io.faithfulsae.internal.RowNormalizer;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.LatentBuffers;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * The active latents of encoded rows, in a backend's memory: pairs of latent index and value, k for
 * each row, or as many as a row needs (ragged rows, as ReLU and JumpReLU give them). Row r has the
 * entries {@code [start(r), end(r))} of {@link #indices()} and {@link #values()}.
 *
 * <p><b>Order and ties</b>: in rows of k by |value|, descending, then by latent index, ascending; a
 * row with fewer than k values other than 0 is padded with value 0. Ragged rows by latent index.
 * The same on every backend. <b>Closed by</b> whoever allocated it. <b>Threads</b>: one at a time.
 */
public final class Latents implements AutoCloseable {
  /**
   * A latent that fires on a row.
   *
   * @param latent its index in [0, dSae)
   * @param value its activation: not 0, and above 0 but for {@link Activation.AbsTopK}
   */
  public record Active(int latent, float value) {
    /** As in {@code 312 (4.5)}. */
    @Override
    public String toString() {
      return String.format(Locale.ROOT, "%d (%.1f)", latent, value);
    }
  }

  private static final int ROOM_PER_ROW = 64; // at first, where latents grow
  private static final long MOST_ENTRIES = Integer.MAX_VALUE / Float.BYTES; // of one block

  private final Backend backend;
  private final @Nullable DeviceBuffer offsets; // null: k latents per row
  private DeviceBuffer indices;
  private DeviceBuffer values;
  private final int capacity;
  private final int k; // 0 if ragged
  private final boolean grows;
  private final RowNormalizer.Undo undo = new RowNormalizer.Undo();
  private int rows;

  private Latents(Backend backend, int capacity, int k, int room, boolean grows) {
    long bytes =
        k > 0
            ? BackendChecks.blockBytes(capacity, "k", k)
            : BackendChecks.blockBytes(1, "room", room);
    this.backend = backend;
    this.capacity = capacity;
    this.k = k;
    this.grows = grows;
    this.offsets = k > 0 ? null : backend.allocate(Integer.BYTES * (capacity + 1L));
    try {
      this.indices = backend.allocate(bytes);
      try {
        this.values = backend.allocate(bytes);
      } catch (RuntimeException e) {
        indices.close();
        throw e;
      }
    } catch (RuntimeException e) {
      if (offsets != null) {
        offsets.close();
      }
      throw e;
    }
  }

  /**
   * Allocates space for rows of k latents.
   *
   * @param on the backend that will use it
   * @param capacity the most rows it can hold, at least 1
   * @param k active latents per row, at least 1; may differ from the SAE's own k
   * @throws IllegalArgumentException if a size is below 1 or the block is larger than 2 GiB
   */
  public static Latents allocate(Backend on, int capacity, int k) {
    BackendChecks.blockBytes(capacity, "k", k);
    return new Latents(on, capacity, k, 0, false);
  }

  /**
   * Allocates space for what an SAE's own activation gives: rows of its k, or ragged rows that grow
   * as needed.
   *
   * @param capacity the most rows it can hold, at least 1
   * @throws IllegalArgumentException if it is below 1, or the block is larger than 2 GiB
   */
  public static Latents allocate(Sae of, int capacity) {
    BackendChecks.atLeastOne("capacity", capacity);
    Activation activation = of.config().activation();
    if (!activation.selection().rule().isRagged()) {
      return allocate(of.backend(), capacity, activation.selection().k());
    }
    int room = activation.latentsPerRow().orElse(ROOM_PER_ROW);
    long atFirst = Math.min((long) capacity * room, 1 << 24);
    return new Latents(of.backend(), capacity, 0, (int) Math.max(1, atFirst), true);
  }

  /**
   * Allocates space for ragged rows of at most a number of entries.
   *
   * @param capacity the most rows it can hold, at least 1
   * @param room the most entries of all rows together, at least 1; encoding rows with more is an
   *     error that says how many there are
   * @throws IllegalArgumentException if a size is below 1 or the block is larger than 2 GiB
   */
  public static Latents allocateRagged(Backend on, int capacity, int room) {
    BackendChecks.atLeastOne("capacity", capacity);
    return new Latents(on, capacity, 0, room, false);
  }

  /** Number of filled rows. */
  public int rows() {
    return rows;
  }

  /**
   * Sets the number of filled rows, after writing to {@link #indices()} and {@link #values()}.
   *
   * @throws IllegalArgumentException if not in [0, capacity]
   */
  public void rows(int filled) {
    this.rows = BackendChecks.filled(filled, capacity);
  }

  /** Sets a number of filled rows that was checked against the capacity. */
  void filled(int checked) {
    this.rows = checked;
  }

  /** The most rows it can hold. */
  public int capacity() {
    return capacity;
  }

  /** Whether rows differ in their number of latents. */
  public boolean isRagged() {
    return offsets != null;
  }

  /**
   * Latents per row.
   *
   * @throws IllegalStateException if rows are ragged
   */
  public int k() {
    if (isRagged()) {
      throw new IllegalStateException(
          Expected.message("rows of k latents", "ragged rows", "use start(row) and end(row)"));
    }
    return k;
  }

  /**
   * The first entry of a row.
   *
   * @param row in [0, rows()]; {@code rows()} gives the number of all entries
   */
  public int start(int row) {
    return offsets == null ? row * k : offsets.host().asIntBuffer().get(row);
  }

  /** The entry after the last of a row. */
  public int end(int row) {
    return start(row + 1);
  }

  /**
   * The first entry of each row, and last their number: {@code rows() + 1} values. A copy; for
   * loops over many rows.
   */
  public int[] starts() {
    int[] starts = new int[rows + 1];
    if (offsets == null) {
      for (int row = 0; row <= rows; row++) {
        starts[row] = row * k;
      }
    } else if (rows > 0) {
      try (DeviceBuffer.Loan loan = offsets.lend()) {
        loan.ints().get(0, starts);
      }
    }
    return starts;
  }

  /** Entries of all filled rows together. */
  public int entries() {
    return rows == 0 ? 0 : start(rows);
  }

  /**
   * Latent indices, {@code [capacity, k]} where rows have k, position 0; a fresh view of the same
   * memory. Views are safe to use after close, as for {@link ActivationBatch#data()}.
   *
   * @throws IllegalStateException after close
   */
  public IntBuffer indices() {
    return indices.host().asIntBuffer();
  }

  /**
   * Values, {@code [capacity, k]} where rows have k, position 0; a fresh view of the same memory.
   * Views are safe to use after close, as for {@link ActivationBatch#data()}.
   *
   * @throws IllegalStateException after close
   */
  public FloatBuffer values() {
    return values.host().asFloatBuffer();
  }

  /**
   * The latents that fire on a row, the largest |value| first. An immutable copy, for reading a few
   * rows; for many, read {@link #indices()} and {@link #values()}.
   *
   * @return empty if none fires
   * @throws IllegalArgumentException if the row is not in [0, {@link #rows()})
   * @throws IllegalStateException after close
   */
  public List<Active> row(int row) {
    if (row < 0 || row >= rows) {
      throw new IllegalArgumentException(
          Expected.message("a row in [0, " + rows + ")", row, "use a row that was encoded"));
    }
    IntBuffer index = indices();
    FloatBuffer value = values();
    List<Active> active = new ArrayList<>();
    int end = end(row);
    for (int at = start(row); at < end; at++) {
      if (value.get(at) != 0) { // only() sets values to 0
        active.add(new Active(index.get(at), value.get(at)));
      }
    }
    if (isRagged()) {
      active.sort(Comparator.comparing((Active one) -> -Math.abs(one.value())));
    }
    return List.copyOf(active);
  }

  /** The backend's handle to {@link #indices()}. */
  public DeviceBuffer indexBuffer() {
    return indices;
  }

  /** The backend's handle to {@link #values()}. */
  public DeviceBuffer valueBuffer() {
    return values;
  }

  /** All three buffers, or the two of rows of k. */
  public LatentBuffers buffers() {
    return new LatentBuffers(offsets, indices, values, k);
  }

  /**
   * Makes room after an encoding that did not fit, and some more, so that batches of about as many
   * entries are encoded once.
   *
   * @throws IllegalArgumentException if these latents do not grow, or cannot grow so much
   */
  void grow(long entries) {
    if (!grows) {
      throw new IllegalArgumentException(
          Expected.message(
              "room for " + entries + " active latents",
              buffers().room(),
              "allocate more, or let latents grow (Latents.allocate(sae, rows))"));
    }
    if (entries > MOST_ENTRIES) {
      throw new IllegalArgumentException(
          Expected.message(
              "at most " + MOST_ENTRIES + " active latents in a batch (2 GiB)",
              entries,
              "encode fewer rows at once"));
    }
    long bytes = Float.BYTES * Math.min(entries + entries / 4, MOST_ENTRIES);
    values.close();
    indices.close();
    indices = backend.allocate(bytes);
    values = backend.allocate(bytes);
  }

  /**
   * Checks that rows fit.
   *
   * @param mostK of a row, if rows are not ragged
   * @throws IllegalArgumentException if they do not
   */
  void require(boolean ragged, int mostK, int forRows, String remedy) {
    if (isRagged() != ragged || capacity < forRows || (!ragged && k > mostK)) {
      throw new IllegalArgumentException(
          Expected.message(
              (ragged ? "ragged latents" : "latents of k <= " + mostK)
                  + " and room for "
                  + forRows
                  + " rows",
              "[" + capacity + ", " + (isRagged() ? "ragged" : k) + "]",
              remedy));
    }
  }

  /** Copies the first {@code into.k()} latents of each row; ragged rows whole. */
  void copyFirst(Latents into) {
    into.require(isRagged(), k, rows, "encode with a larger k, or allocate more rows");
    if (offsets != null && into.offsets != null) {
      copyRagged(offsets, into, into.offsets);
    } else {
      try (DeviceBuffer.Loan fromIndices = indices.lend();
          DeviceBuffer.Loan fromValues = values.lend();
          DeviceBuffer.Loan toIndices = into.indices.lend();
          DeviceBuffer.Loan toValues = into.values.lend()) {
        copyRows(fromIndices.ints(), toIndices.ints(), into.k);
        copyRows(fromValues.floats(), toValues.floats(), into.k);
      }
    }
    into.filled(rows);
    into.undo.copy(undo);
  }

  private void copyRagged(DeviceBuffer from, Latents into, DeviceBuffer to) {
    int entries = entries();
    if (entries > into.buffers().room()) {
      into.grow(entries);
    }
    try (DeviceBuffer.Loan fromOffsets = from.lend();
        DeviceBuffer.Loan fromIndices = indices.lend();
        DeviceBuffer.Loan fromValues = values.lend();
        DeviceBuffer.Loan toOffsets = to.lend();
        DeviceBuffer.Loan toIndices = into.indices.lend();
        DeviceBuffer.Loan toValues = into.values.lend()) {
      toOffsets.ints().put(0, fromOffsets.ints(), 0, rows + 1);
      toIndices.ints().put(0, fromIndices.ints(), 0, entries);
      toValues.floats().put(0, fromValues.floats(), 0, entries);
    }
  }

  private void copyRows(IntBuffer from, IntBuffer to, int width) {
    for (int row = 0; row < rows; row++) {
      to.put(row * width, from, row * k, width);
    }
  }

  private void copyRows(FloatBuffer from, FloatBuffer to, int width) {
    for (int row = 0; row < rows; row++) {
      to.put(row * width, from, row * k, width);
    }
  }

  /**
   * The factor by which undoing the input normalization multiplies the decoded row; 1 if the SAE
   * does not normalize rows.
   */
  public double scale(int row) {
    return undo.scale(row);
  }

  /** What decoding needs to undo the normalization of the encoded rows. */
  RowNormalizer.Undo undo() {
    return undo;
  }

  @Override
  public void close() {
    values.close();
    indices.close();
    if (offsets != null) {
      offsets.close();
    }
  }
}
