package io.faithfulsae.cli.console;

import io.faithfulsae.study.StudyListener;
import io.faithfulsae.study.work.WorkProgress;
import java.io.PrintWriter;

/** Shows long work on standard error, and stops it when the user asks to. */
public final class ConsoleListener implements StudyListener {
  private final PrintWriter err;
  private final String prefix;

  /**
   * Makes a listener.
   *
   * @param err where steps are told
   * @param prefix before each step
   */
  public ConsoleListener(PrintWriter err, String prefix) {
    this.err = err;
    this.prefix = prefix;
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
