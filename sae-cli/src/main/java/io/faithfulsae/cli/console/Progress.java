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
 * Progress of long-running work on standard error: count, rate, time left and a note such as the
 * loss. On a terminal it is a single line that is redrawn; elsewhere one line every ten seconds, to
 * keep logs readable.
 */
final class Progress implements WorkProgress {
  private static final int TERMINAL_MILLIS = 250;
  private static final int LOG_MILLIS = 10_000;
  private final ProgressBar bar;

  private Progress(ProgressBar bar) {
    this.bar = bar;
  }

  /**
   * Starts a progress display.
   *
   * @param task description of the work
   * @param unit what is counted, such as {@code "tokens"}
   * @param done the initial count: more than 0 if a part was done earlier
   * @param total the final count, or -1 while unknown
   */
  static Progress start(String task, String unit, long done, long total) {
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

  /** Whether standard error is a terminal, on Linux; elsewhere it is treated as a file. */
  private static boolean isTerminal() {
    try {
      String target = Files.readSymbolicLink(Path.of("/proc/self/fd/2")).toString();
      return target.startsWith("/dev/pts/") || target.startsWith("/dev/tty");
    } catch (IOException e) {
      return false;
    }
  }
}
