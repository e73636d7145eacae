package io.faithfulsae.training;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A training run on a thread of its own. Runs that were started together share that thread, and are
 * cancelled together.
 *
 * <p><b>Closed by</b> who started it, before its backend. <b>Threads</b>: safe for use from any
 * thread.
 */
public final class TrainingRun implements AutoCloseable {
  private final List<Consumer<TrainingProgress>> listeners;
  private final CompletableFuture<TrainingResult> result = new CompletableFuture<>();
  private volatile @Nullable TrainingLoop loop;

  TrainingRun(List<Consumer<TrainingProgress>> listeners) {
    this.listeners = new CopyOnWriteArrayList<>(listeners);
  }

  /** A run that ended before. */
  static TrainingRun completed(TrainingResult result) {
    TrainingRun run = new TrainingRun(List.of());
    run.result.complete(result);
    return run;
  }

  /**
   * Adds a listener, called after each step on the training thread from now on; it should be quick.
   * If it throws, the run ends with that exception. To hear the first steps too, give it to {@link
   * SaeTrainer#withListener}.
   */
  public void listen(Consumer<TrainingProgress> listener) {
    listeners.add(listener);
  }

  /** Asks the run to end after the step it is in, with a checkpoint. Further calls do nothing. */
  public void cancel() {
    TrainingLoop running = loop;
    if (running != null) {
      running.cancel();
    }
  }

  /**
   * Waits for the end.
   *
   * @throws IOException if the source cannot be read or a file not be written; the last checkpoint
   *     is kept
   * @throws io.faithfulsae.TrainingDivergedException if the loss, or what the last update left,
   *     became NaN or infinite; no SAE is written, and the last checkpoint, from before, is kept
   * @throws IllegalStateException if its backend was closed meanwhile; the last checkpoint is kept
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

  /** Cancels the run if it is not over, and waits until its thread has let go of everything. */
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

  void tell(TrainingProgress progress) {
    listeners.forEach(listener -> listener.accept(progress));
  }

  void complete(TrainingResult value) {
    result.complete(value);
  }

  void fail(Throwable problem) {
    result.completeExceptionally(problem);
  }
}
