package io.faithfulsae.javabackend.internal;

import io.faithfulsae.spi.StepConfig;

/** How long each latent has not fired, and which are dead for that. */
final class IdleCounters {
  private final StepConfig.Dead rule;
  final long[] batches;
  final long[] rows;

  IdleCounters(StepConfig.Dead rule, int dSae) {
    this.rule = rule;
    this.batches = new long[dSae];
    this.rows = new long[dSae];
  }

  long bytes() {
    return 2L * Long.BYTES * batches.length;
  }

  /** Which latents would be dead if a batch of so many rows ended here. */
  boolean[] dead(boolean[] fired, long batchRows) {
    boolean[] dead = new boolean[fired.length];
    for (int j = 0; j < dead.length; j++) {
      dead[j] = !fired[j] && isDead(batches[j] + 1, rows[j] + batchRows);
    }
    return dead;
  }

  private boolean isDead(long idleBatches, long idleRows) {
    return (rule.afterBatches() > 0 && idleBatches >= rule.afterBatches())
        || (rule.afterRows() > 0 && idleRows >= rule.afterRows());
  }

  /** Counts a batch; returns the number of dead latents. */
  int count(boolean[] fired, long batchRows) {
    int dead = 0;
    for (int j = 0; j < fired.length; j++) {
      batches[j] = fired[j] ? 0 : batches[j] + 1;
      rows[j] = fired[j] ? 0 : rows[j] + batchRows;
      dead += isDead(batches[j], rows[j]) ? 1 : 0;
    }
    return dead;
  }

  void copy(IdleCounters from) {
    System.arraycopy(from.batches, 0, batches, 0, batches.length);
    System.arraycopy(from.rows, 0, rows, 0, rows.length);
  }
}
