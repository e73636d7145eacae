package io.faithfulsae.training;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A training run on its own thread. Runs that were started together share one thread and are
 * cancelled together.
 *
 * <p><b>Closed by</b> whoever started it, before its backend. <b>Threads</b>: thread-safe.
 */
public final class TrainingRun implements AutoCloseable {
  private final List<Consumer<TrainingProgress>> listeners;
  private final CompletableFuture<TrainingResult> result = new CompletableFuture<>();
  private volatile @Nullable TrainingLoop loop;

  TrainingRun(List<Consumer<TrainingProgress>> listeners) {
    this.listeners = new CopyOnWriteArrayList<>(listeners);
  }

  /** A run that had already completed. */
  static TrainingRun completed(TrainingResult result) {
    TrainingRun run = new TrainingRun(List.of());
    run.result.complete(result);
    return run;
  }

  /**
   * Adds a listener that is called on the training thread after each step from now on; it should
   * return quickly. If it throws, the run ends with that exception. To receive the first steps too,
   * use {@link SaeTrainer#withListener}.
   */
  public void listen(Consumer<TrainingProgress> listener) {
    listeners.add(listener);
  }

  /**
   * Asks the run to write a checkpoint and end after the current step. Further calls do nothing.
   */
  public void cancel() {
    TrainingLoop running = loop;
    if (running != null) {
      running.cancel();
    }
  }

  /**
   * * Waits for the run to end.
   *
   * @throws IOException if the source cannot be read or a file cannot be written; the last
   *     checkpoint is kept
   * @throws io.faithfulsae.TrainingDivergedException if the loss or the weights became NaN or
   *     infinite; no SAE is saved, and the last checkpoint from before is kept
   * @throws IllegalStateException if its backend was closed during the run; the last checkpoint is
   *     kept
   * @throws IllegalArgumentException if an activation is NaN or infinite (the message names the
   *     row)
   */
  public TrainingResult await() throws IOException, InterruptedException {
    try {
      return result.get();
    } catch (ExecutionException e) {
      Throwable cause = e.getCause();
      if (cause instanceof IOException io) {
        throw io;
      }
      if (cause instanceof RuntimeException runtime) {
        throw runtime;
      }
      throw new IllegalStateException("training failed: " + cause, cause);
    }
  }

  /** Cancels the run if it has not ended, and waits until its thread has released all resources. */
  @Override
  public void close() {
    cancel();
    TrainingLoop running = loop;
    if (running != null) {
      running.join();
    }
  }

  void attach(TrainingLoop to) {
    loop = to;
  }

  void notifyListeners(TrainingProgress progress) {
    listeners.forEach(listener -> listener.accept(progress));
  }

  void complete(TrainingResult value) {
    result.complete(value);
  }

  void fail(Throwable problem) {
    result.completeExceptionally(problem);
  }
}
