package io.faithfulsae;

import io.faithfulsae.io.Expected;

/**
 * Training diverged: the loss, the weights or their outputs became NaN or infinite in float32.
 * Nothing is saved after that; an earlier checkpoint is kept.
 */
public class TrainingDivergedException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final long step;
  private final double loss;

  /**
   * The loss of a step is not finite.
   *
   * @param step number of the step, from 1
   * @param loss its loss
   */
  public TrainingDivergedException(long step, double loss) {
    this(step, loss, "a finite loss at step " + step, Double.toString(loss));
  }

  /**
   * The result of a step's update is not finite.
   *
   * @param step number of steps completed
   * @param loss of the last one, before its update
   * @param expected what was expected
   * @param got what was found
   */
  public TrainingDivergedException(long step, double loss, String expected, String got) {
    super(
        "training diverged: "
            + Expected.message(
                expected, got, "lower the learning rate or normalize the activations"));
    this.step = step;
    this.loss = loss;
  }

  /** The step whose loss or update was not finite, counted from 1. */
  public long step() {
    return step;
  }

  /** The loss of that step, before its update. */
  public double loss() {
    return loss;
  }
}
