package io.faithfulsae.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.Fingerprint;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.ByteBuffer;
import java.util.OptionalLong;

/** Rows in memory; a position is a row index. */
public final class ArraySource implements ActivationSource {
  private final float[] rows;
  private final int dIn;
  private final String description;

  /** The array is not copied and must not change. */
  public ArraySource(float[] rows, int dIn) {
    if (dIn < 1 || rows.length == 0 || rows.length % dIn != 0) {
      throw new IllegalArgumentException(
          Expected.message(
              "a multiple of d_in = " + dIn + " values and at least one row",
              rows.length,
              "check d_in"));
    }
    this.rows = rows;
    this.dIn = dIn;
    Fingerprint fingerprint = new Fingerprint();
    ByteBuffer row = ByteBuffer.allocate(dIn * Float.BYTES);
    for (int at = 0; at < rows.length; at += dIn) {
      row.asFloatBuffer().put(rows, at, dIn);
      fingerprint.add(row);
    }
    this.description = "array [" + rows.length / dIn + ", " + dIn + "] sha256:" + fingerprint.hex();
  }

  @Override
  public int dIn() {
    return dIn;
  }

  @Override
  public String description() {
    return description;
  }

  @Override
  public OptionalLong rowsAtMost(long enough) {
    return OptionalLong.of(rows.length / dIn);
  }

  @Override
  public ActivationReader open(long position) {
    return new RowReader(rows.length / dIn, position) {
      @Override
      protected void copy(long first, int count, ActivationBatch into) {
        try (DeviceBuffer.Loan loan = into.buffer().lend()) {
          loan.floats().put(into.rows() * dIn, rows, Math.toIntExact(first * dIn), count * dIn);
        }
      }
    };
  }
}
