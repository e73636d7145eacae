package io.faithfulsae;

/** The loss became NaN or infinite. The last checkpoint is kept. */
public class TrainingDivergedException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** Makes the exception. */
  public TrainingDivergedException(long step, double loss) {
    super(
        "loss is "
            + loss
            + " at step "
            + step
            + "; mend: lower the learning rate or normalise the activations");
  }
}
