package io.faithfulsae.training;

import io.faithfulsae.ActivationFilter;
import java.nio.file.Path;
import java.util.Optional;

/**
 * How a run ended.
 *
 * @param reason why it ended
 * @param directory the run's folder: on {@link Reason#COMPLETED} it holds the SAE, on {@link
 *     Reason#CANCELLED} a checkpoint
 * @param steps steps completed
 * @param tokens rows trained on
 * @param epochs complete passes over the source
 * @param counts rows that the source kept and dropped
 * @param last the last step's progress; empty if no step has run since the run was resumed
 */
public record TrainingResult(
    Reason reason,
    Path directory,
    long steps,
    long tokens,
    long epochs,
    ActivationFilter.Counts counts,
    Optional<TrainingProgress> last) {

  /** Why a run ended. */
  public enum Reason {
    /** All steps are complete and the SAE is saved. */
    COMPLETED,
    /** It was cancelled; it can be resumed. */
    CANCELLED
  }
}
