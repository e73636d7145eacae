package io.faithfulsae.examples;

import io.faithfulsae.Backends;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.Study;
import io.faithfulsae.study.StudyFile;
import io.faithfulsae.study.StudyListener;
import io.faithfulsae.study.StudyPlan;
import io.faithfulsae.study.work.StoppedException;
import io.faithfulsae.study.work.WorkProgress;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArraySet;
import java.util.concurrent.TimeUnit;

/**
 * Runs a study from a program: prints the plan, shows progress in its own way, and stops when the
 * time is up. The next run resumes the study.
 */
public final class StudyFromJava {
  private StudyFromJava() {}

  /**
   * Runs it.
   *
   * @param args a YAML file of settings, a folder for the results, and a time limit in seconds
   */
  public static void main(String[] args) throws IOException {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(Long.parseLong(args[2]));
    try (Backend backend = Backends.best()) {
      StudyPlan plan = Study.plan(StudyFile.read(Path.of(args[0])), Path.of(args[1]), backend);
      plan.models().forEach(m -> System.out.printf("%s: %.0f s%n", m.name(), m.seconds()));
      var outcome = Study.run(plan, backend, new Printing(deadline, new CopyOnWriteArraySet<>()));
      System.out.println(outcome.stepsDone() + " steps done, see " + outcome.report());
    } catch (StoppedException e) {
      System.out.println("time is up: " + e.getMessage());
    }
  }

  /** Prints steps and progress, and stops the running work after the deadline. */
  private record Printing(long deadline, Set<Runnable> stops)
      implements StudyListener, WorkProgress {
    @Override
    public void step(String what) {
      System.out.println("step " + what);
    }

    @Override
    public Registration onStop(Runnable stop) {
      stops.add(stop);
      stopWhenDue();
      return () -> stops.remove(stop);
    }

    @Override
    public WorkProgress begin(String task, String unit, long done, long total) {
      System.out.printf("%s: %,d of %,d %s%n", task, done, total, unit);
      return this;
    }

    @Override
    public void total(long count) {}

    @Override
    public void at(long done, String note) {
      System.out.printf("  %,d %s%n", done, note);
      stopWhenDue();
    }

    @Override
    public void close() {}

    private void stopWhenDue() {
      if (System.nanoTime() - deadline >= 0) {
        stops.forEach(Runnable::run);
      }
    }
  }
}
