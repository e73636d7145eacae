package io.faithfulsae.cli.console;

import io.faithfulsae.study.StudyListener;
import io.faithfulsae.study.StudyPlan;
import io.faithfulsae.study.work.WorkProgress;
import java.io.PrintWriter;

/** Shows progress on standard error, and stops work on request. */
public final class ConsoleListener implements StudyListener {
  private final PrintWriter err;
  private final String prefix;

  /**
   * Creates a listener.
   *
   * @param err where to print steps
   * @param prefix printed before each step
   */
  public ConsoleListener(PrintWriter err, String prefix) {
    this.err = err;
    this.prefix = prefix;
  }

  @Override
  public void planned(StudyPlan plan) {
    step(plan.table());
  }

  @Override
  public void step(String what) {
    err.println(prefix + what);
  }

  @Override
  public WorkProgress begin(String task, String unit, long done, long total) {
    return Progress.start(task, unit, done, total);
  }

  @Override
  public Registration onStop(Runnable stop) {
    return Interrupts.onStop(stop);
  }
}
