package io.faithfulsae.cli.console;

import io.faithfulsae.study.work.WorkProgress;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.DelegatingProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarConsumer;
import me.tongfei.progressbar.ProgressBarStyle;

/**
 * Progress of long work on standard error: done, rate, time left and a note such as the loss. On a
 * terminal it is one line that is redrawn; elsewhere a line every ten seconds, so that logs stay
 * readable.
 */
public final class Progress implements WorkProgress {
  private static final int TERMINAL_MILLIS = 250;
  private static final int LOG_MILLIS = 10_000;
  private final ProgressBar bar;

  private Progress(ProgressBar bar) {
    this.bar = bar;
  }

  /**
   * Starts to show progress.
   *
   * @param task what is done
   * @param unit what is counted, such as {@code "tokens"}
   * @param total the count at the end, or -1 while it is not known
   */
  public static Progress start(String task, String unit, long total) {
    return start(task, unit, 0, total);
  }

  /** As {@link #start(String, String, long)}, of work of which a part was done earlier. */
  public static Progress start(String task, String unit, long done, long total) {
    return start(task, unit, done, total, System.err, isTerminal());
  }

  static Progress start(
      String task, String unit, long done, long total, PrintStream to, boolean terminal) {
    ProgressBarConsumer consumer =
        terminal
            ? new ConsoleProgressBarConsumer(to)
            : new DelegatingProgressBarConsumer(line -> to.println(line.stripTrailing()), 140);
    ProgressBar bar =
        new ProgressBarBuilder()
            .setTaskName(task)
            .setUnit(" " + unit, 1)
            .setInitialMax(total)
            .startsFrom(done, Duration.ZERO)
            .setStyle(ProgressBarStyle.ASCII)
            .setUpdateIntervalMillis(terminal ? TERMINAL_MILLIS : LOG_MILLIS)
            .showSpeed()
            .setConsumer(consumer)
            .build();
    return new Progress(bar);
  }

  @Override
  public void total(long count) {
    bar.maxHint(count);
  }

  @Override
  public void at(long done) {
    bar.stepTo(done);
  }

  @Override
  public void at(long done, String note) {
    bar.setExtraMessage(" " + note);
    bar.stepTo(done);
  }

  @Override
  public void close() {
    bar.close();
  }

  /** Whether standard error is a terminal, as Linux says it; elsewhere it counts as a file. */
  private static boolean isTerminal() {
    try {
      String target = Files.readSymbolicLink(Path.of("/proc/self/fd/2")).toString();
      return target.startsWith("/dev/pts/") || target.startsWith("/dev/tty");
    } catch (IOException e) {
      return false;
    }
  }
}
