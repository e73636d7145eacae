package io.faithfulsae.javabackend.internal;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ForkJoinTask;
import java.util.concurrent.RecursiveAction;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntConsumer;

/**
 * The threads of one backend. They share out tasks whose results must not depend on who does them,
 * so that results do not depend on the number of threads.
 */
final class Workers {
  private final int threads;
  private final ForkJoinPool pool;

  Workers(int threads) {
    this.threads = threads;
    this.pool = new ForkJoinPool(threads);
  }

  int threads() {
    return threads;
  }

  /** Does tasks 0 to {@code tasks - 1} in any order, and waits for all. */
  void forEach(int tasks, IntConsumer task) {
    if (threads == 1 || tasks == 1) {
      for (int i = 0; i < tasks; i++) {
        task.accept(i);
      }
      return;
    }
    AtomicInteger next = new AtomicInteger();
    Runnable share =
        () -> {
          for (int i = next.getAndIncrement(); i < tasks; i = next.getAndIncrement()) {
            task.accept(i);
          }
        };
    pool.invoke(new Copies(share, Math.min(threads, tasks)));
  }

  /** Does ranges of {@code 0 .. count - 1}, at most {@code most} long. */
  void forEachRange(int count, int most, Range range) {
    int tasks = (int) (((long) count + most - 1) / most);
    forEach(tasks, i -> range.accept(i * most, (int) Math.min(count, (i + 1L) * most)));
  }

  /** Work on the elements {@code first .. end - 1}. */
  @FunctionalInterface
  interface Range {
    void accept(int first, int end);
  }

  /** Idle threads end by themselves, also those of a backend that nobody closes. */
  void close() {
    pool.shutdown();
  }

  /** Runs the same code in several threads. */
  private static final class Copies extends RecursiveAction {
    private static final long serialVersionUID = 1L;
    private final transient Runnable code;
    private final int count;

    Copies(Runnable code, int count) {
      this.code = code;
      this.count = count;
    }

    @Override
    protected void compute() {
      List<ForkJoinTask<?>> tasks = new ArrayList<>();
      for (int i = 0; i < count; i++) {
        tasks.add(ForkJoinTask.adapt(code));
      }
      invokeAll(tasks);
    }
  }
}
