package io.faithfulsae;

/**
 * Training left the range of float32: the loss, the weights or what they give became NaN or
 * infinite. Nothing is saved from there; a checkpoint from before is kept.
 */
public class TrainingDivergedException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final long step;
  private final double loss;

  /**
   * The loss of a step is not finite.
   *
   * @param step steps begun, this one counted
   * @param loss what it was
   */
  public TrainingDivergedException(long step, double loss) {
    this(step, loss, "a finite loss at step " + step, Double.toString(loss));
  }

  /**
   * What the update of a step left is not finite.
   *
   * @param step steps done
   * @param loss of the last one, before its update
   * @param expected what should be
   * @param got what is
   */
  public TrainingDivergedException(long step, double loss, String expected, String got) {
    super(
        "training diverged: expected "
            + expected
            + ", got "
            + got
            + "; lower the learning rate or normalize the activations");
    this.step = step;
    this.loss = loss;
  }

  /** The step, counted from 1, whose loss or update it was. */
  public long step() {
    return step;
  }

  /** The loss of that step, before its update. */
  public double loss() {
    return loss;
  }
}
