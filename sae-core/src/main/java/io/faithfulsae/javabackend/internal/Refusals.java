package io.faithfulsae.javabackend.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.StepConfig;

/** What this backend does not train. It encodes and decodes everything. */
final class Refusals {
  private Refusals() {}

  /**
   * Checks what is to be trained.
   *
   * @throws BackendUnavailableException naming what is not available
   */
  static void check(Selection selection, StepConfig config) {
    refuse(
        selection.rule() == Selection.Rule.THRESHOLD,
        "a rule other than THRESHOLD (ReLU, JumpReLU, gated)",
        selection.rule());
    refuse(config.multiTopK() != 0, "multiTopK = 0", config.multiTopK());
    refuse(
        config.optimizer() == StepConfig.Optimizer.MUON,
        "an optimizer other than MUON",
        config.optimizer());
  }

  private static void refuse(boolean asked, String expected, Object got) {
    if (asked) {
      throw new BackendUnavailableException(
          Expected.message(expected + " on the java backend", got, "train it on the cpu backend"));
    }
  }
}
