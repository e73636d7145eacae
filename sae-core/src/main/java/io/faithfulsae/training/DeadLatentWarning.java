package io.faithfulsae.training;

import io.faithfulsae.spi.StepConfig.Dead;
import java.lang.System.Logger.Level;
import java.util.Locale;

/** Warns once in a run when more than a tenth of the latents are dead, and says what helps. */
final class DeadLatentWarning {
  private static final System.Logger LOG = System.getLogger(SaeTrainer.class.getName());
  private static final double SHARE = 0.1;

  /** New latents may be dead for a while until the dead-latent term revives them. */
  private static final double FIRST_PART = 0.2;

  private final int dSae;
  private final Dead dead;
  private boolean given;

  DeadLatentWarning(int dSae, Dead dead) {
    this.dSae = dSae;
    this.dead = dead;
  }

  void check(TrainingProgress now) {
    if (given || now.dead() <= SHARE * dSae || now.step() < FIRST_PART * now.steps()) {
      return;
    }
    given = true;
    LOG.log(
        Level.WARNING,
        String.format(
            Locale.ROOT,
            "%d of %d latents (%.0f %%) are dead after step %d of %d: they have not fired for %s."
                + " Try fewer latents, more steps (a smaller batch or more rows), another learning"
                + " rate, or a dead-latent term with more weight (auxCoefficient)",
            now.dead(),
            dSae,
            100.0 * now.dead() / dSae,
            now.step(),
            now.steps(),
            dead.afterBatches() > 0
                ? dead.afterBatches() + " batches"
                : String.format(Locale.ROOT, "%,d rows", dead.afterRows())));
  }
}
