package io.faithfulsae.cli.console;

import io.faithfulsae.study.StudyListener;
import io.faithfulsae.study.StudyPlan;
import io.faithfulsae.study.work.WorkProgress;
import java.io.PrintWriter;

/** Shows progress on standard error, and stops work on request. */
public final class ConsoleListener implements StudyListener {
  private final PrintWriter err;
  private final String prefix;
  private final boolean quiet;

  /**
   * Creates a listener.
   *
   * @param err where to print steps
   * @param prefix printed before each step
   * @param quiet shows nothing; work can still be stopped
   */
  public ConsoleListener(PrintWriter err, String prefix, boolean quiet) {
    this.err = err;
    this.prefix = prefix;
    this.quiet = quiet;
  }

  @Override
  public void planned(StudyPlan plan) {
    step(plan.table());
  }

  @Override
  public void step(String what) {
    if (!quiet) {
      err.println(prefix + what);
    }
  }

  @Override
  public WorkProgress begin(String task, String unit, long done, long total) {
    return quiet ? WorkProgress.NONE : Progress.start(task, unit, done, total);
  }

  @Override
  public Registration onStop(Runnable stop) {
    return Interrupts.onStop(stop);
  }
}
