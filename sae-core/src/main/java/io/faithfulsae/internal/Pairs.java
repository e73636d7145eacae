package io.faithfulsae.internal;

import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.PairedSource;
import io.faithfulsae.io.Expected;
import java.io.IOException;
import java.util.OptionalLong;

/**
 * A source whose rows already are pairs.
 *
 * @param rows rows of input and target
 * @param dOut width of the target
 */
public record Pairs(ActivationSource rows, int dOut) implements PairedSource {
  /**
   * Checks the width.
   *
   * @throws IllegalArgumentException if nothing is left to read or to write
   */
  public Pairs {
    Expected.inRange("dOut", dOut, 1, rows.dIn() - 1, "leave at least one element to read");
  }

  @Override
  public int dIn() {
    return rows.dIn();
  }

  @Override
  public String description() {
    return rows.description() + ", the last " + dOut + " of " + rows.dIn() + " as the target";
  }

  @Override
  public OptionalLong rowsAtMost(long enough) throws IOException {
    return rows.rowsAtMost(enough);
  }

  @Override
  public ActivationReader open(long position) throws IOException {
    return rows.open(position);
  }
}
