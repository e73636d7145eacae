package io.faithfulsae.training;

import io.faithfulsae.ActivationSource;
import io.faithfulsae.PairedSource;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.TrainingDivergedException;
import io.faithfulsae.internal.RowBuffer;
import io.faithfulsae.internal.RowBuffer.Mark;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.OutputLock;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendTrainer.StepStats;
import io.faithfulsae.training.TrainingResult.Reason;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** The thread that runs one or more {@link TrainingRun}s on a shared stream of rows. */
final class TrainingLoop implements Runnable {
  private final List<TrainingMember> members;
  private final List<TrainingMember> active; // members that have not diverged
  private final Map<TrainingMember, TrainingDivergedException> diverged = new HashMap<>();
  private final ActivationSource source;
  private final long firstStep;
  private final Mark start;
  private final TrainingConfig config;
  private final int batchesOfFill;
  private final List<OutputLock> locks;
  private final Thread thread;
  private volatile boolean cancelled;
  private final List<BatchFeed> feeds = new ArrayList<>();
  private final Map<TrainingMember, List<BatchFeed>> feedsOf = new HashMap<>(); // by backend
  private long startedNanos;

  private TrainingLoop(
      List<TrainingMember> members,
      ActivationSource source,
      long firstStep,
      Mark start,
      List<OutputLock> locks) {
    this.members = List.copyOf(members);
    this.active = new ArrayList<>(members);
    this.source = source;
    this.firstStep = firstStep;
    this.start = start;
    this.config = members.get(0).settings.training();
    this.batchesOfFill =
        (int) (Math.min(config.bufferRows(), config.rows().tokens()) / config.rows().batch());
    this.locks = locks;
    this.thread = new Thread(this, "sae-training");
  }

  /**
   * Starts the thread. It owns the members and the locks of their folders, and closes them when it
   * ends.
   */
  static List<TrainingRun> start(
      List<TrainingMember> members,
      ActivationSource source,
      long firstStep,
      Mark start,
      List<OutputLock> locks) {
    TrainingLoop loop = new TrainingLoop(members, source, firstStep, start, locks);
    members.forEach(member -> member.run.attach(loop));
    loop.thread.start();
    return members.stream().map(member -> member.run).toList();
  }

  void cancel() {
    cancelled = true;
  }

  /** Waits for the thread, unless it is the caller's own. */
  void join() {
    boolean interrupted = false;
    while (thread != Thread.currentThread() && thread.isAlive()) {
      try {
        thread.join();
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  @Override
  public void run() {
    Map<TrainingMember, TrainingResult> results = Map.of();
    @Nullable Throwable problem =
        null; // never lost on this thread: rethrown to whoever awaits a run
    Backend backend = members.get(0).settings.backend();
    try (RowBuffer buffer =
        new RowBuffer(
            source,
            backend,
            staysOnDevice(backend),
            batchesOfFill * config.rows().batch(),
            start)) {
      try {
        results = train(buffer);
      } catch (IllegalArgumentException e) {
        throw buffer.explain(e);
      }
    } catch (Throwable e) {
      problem = closedBackend(e);
    }
    for (TrainingMember member : members) {
      problem = close(member::close, problem);
    }
    for (BatchFeed feed : feeds) {
      problem = close(feed::close, problem);
    }
    // Released before the runs complete, so that a caller can resume them immediately.
    locks.forEach(OutputLock::close);
    for (TrainingMember member : members) {
      Throwable own = diverged.containsKey(member) ? diverged.get(member) : problem;
      TrainingResult result = results.get(member);
      if (own != null) {
        member.run.fail(own);
      } else if (result != null) {
        member.run.complete(result);
      }
    }
  }

  /**
   * Replaces a problem that was caused by closing a backend during the run with one that says so.
   */
  private Throwable closedBackend(Throwable problem) {
    if (problem instanceof IllegalStateException) {
      for (Backend backend : members.get(0).settings.backends()) {
        try {
          backend.synchronize();
        } catch (IllegalStateException e) {
          return new IllegalStateException(
              Expected.message(
                  "backend " + backend.info().name() + " to stay open until the run ends",
                  "a closed one",
                  "await or close the run first, or resume it from its last checkpoint"),
              problem);
        } catch (RuntimeException e) {
          problem.addSuppressed(e);
        }
      }
    }
    return problem;
  }

  /** Ends the run of one member and keeps its last checkpoint. The others continue. */
  private void drop(TrainingMember member, TrainingDivergedException why) {
    active.remove(member);
    diverged.put(member, why);
    member.close();
  }

  /**
   * Whether rows can stay on the device from the source to the step. Normalization, targets and
   * splitting across devices need the host.
   */
  private boolean staysOnDevice(Backend backend) {
    return source.fillsOnDevice(backend)
        && !(source instanceof PairedSource)
        && members.stream()
            .allMatch(
                m ->
                    m.settings.replicas().isEmpty()
                        && m.settings.sae().normalization() == SaeConfig.Normalization.NONE);
  }

  private static @Nullable Throwable close(Runnable closing, @Nullable Throwable problem) {
    try {
      closing.run();
      return problem;
    } catch (RuntimeException e) {
      return problem == null ? e : withSuppressed(problem, e);
    }
  }

  private static Throwable withSuppressed(Throwable first, Throwable further) {
    if (first != further) {
      first.addSuppressed(further);
    }
    return first;
  }

  private Map<TrainingMember, TrainingResult> train(RowBuffer buffer) throws IOException {
    startedNanos = System.nanoTime();
    long steps = config.steps();
    boolean filled = false;
    boolean loaded = false; // whether the feeds have this step's batch
    long step = firstStep;
    while (step < steps && !cancelled && !active.isEmpty()) {
      int batch = (int) (step % batchesOfFill);
      if (batch == 0 || !filled) {
        buffer.fill();
        if (step == 0) {
          members.forEach(member -> member.prepare(buffer));
        }
        makeFeeds(buffer);
        feeds.forEach(BatchFeed::shuffle);
        filled = true;
        loaded = false;
      }
      if (!loaded) {
        feeds.forEach(feed -> feed.load(batch));
      }
      for (TrainingMember member : active) {
        member.step(shares(member), step);
      }
      loaded = step + 1 < steps && batch + 1 < batchesOfFill;
      if (loaded) { // while the steps run
        feeds.forEach(feed -> feed.load(batch + 1));
      }
      step++;
      long done = step;
      each(member -> member.report(progress(done, member.stats(done))));
      if (config.checkpointSteps() > 0 && step % config.checkpointSteps() == 0 && step < steps) {
        checkpoint(buffer, step, filled, loaded);
      }
    }
    Mark end = buffer.now();
    if (step < steps) {
      checkpoint(buffer, step, filled, loaded);
      return results(Reason.CANCELLED, end, step);
    }
    return finish(end, step);
  }

  private interface Action {
    void on(TrainingMember member) throws IOException;
  }

  /** Applies an action to each member that has not diverged, and drops those that do now. */
  private void each(Action action) throws IOException {
    for (TrainingMember member : List.copyOf(active)) {
      try {
        action.on(member);
      } catch (TrainingDivergedException e) {
        drop(member, e);
      }
    }
  }

  /** The rows of a member's last step; null if there was none. */
  private BatchFeed.@Nullable Rows trained(TrainingMember member, boolean nextIsLoaded) {
    List<BatchFeed> own = feedsOf.get(member);
    if (own == null) {
      return null;
    }
    return nextIsLoaded ? own.get(0).before() : own.get(0).current();
  }

  /** Creates one feed per backend for all members with the same batches. */
  private void makeFeeds(RowBuffer buffer) {
    for (TrainingMember member : members) {
      if (feedsOf.containsKey(member)) {
        continue;
      }
      List<Backend> backends = member.settings.backends();
      int share = config.rows().batch() / backends.size();
      List<BatchFeed> own = new ArrayList<>();
      for (int i = 0; i < backends.size(); i++) {
        own.add(feed(member.recipe(), backends.get(i), buffer, i * share, share));
      }
      feedsOf.put(member, own);
    }
  }

  private BatchFeed feed(
      BatchFeed.Recipe recipe, Backend backend, RowBuffer buffer, int first, int rows) {
    for (BatchFeed feed : feeds) {
      if (feed.recipe().equals(recipe) && feed.backend() == backend) {
        return feed;
      }
    }
    int dOut = source instanceof PairedSource pairs ? pairs.dOut() : 0;
    BatchFeed feed =
        new BatchFeed(recipe, backend, buffer, dOut, config.rows().batch(), first, rows);
    feeds.add(feed);
    return feed;
  }

  private List<BatchFeed.Rows> shares(TrainingMember member) {
    return Objects.requireNonNull(feedsOf.get(member)).stream().map(BatchFeed::current).toList();
  }

  private Map<TrainingMember, TrainingResult> finish(Mark end, long step) throws IOException {
    each(
        member -> {
          member.writeSae(step, trained(member, false));
          Provenance.write(member, source, result(member, Reason.COMPLETED, end, step));
        });
    each(member -> Checkpoint.deleteOthers(member.dir, -1));
    return results(Reason.COMPLETED, end, step);
  }

  /** Writes all members' new checkpoints before deleting any old one. */
  private void checkpoint(RowBuffer buffer, long step, boolean filled, boolean loaded)
      throws IOException {
    boolean insideFill = filled && step % batchesOfFill != 0;
    Mark mark = insideFill ? buffer.beforeFill() : buffer.now();
    each(
        member -> {
          SaeTrainer settings = member.settings;
          Checkpoint checkpoint =
              new Checkpoint(
                  step,
                  settings.sae(),
                  settings.training(),
                  source.description(),
                  settings.backend().info().name(),
                  member.activationScale(),
                  mark);
          member.writeCheckpoint(checkpoint, trained(member, loaded));
        });
    each(member -> Checkpoint.deleteOthers(member.dir, step));
  }

  private Map<TrainingMember, TrainingResult> results(Reason reason, Mark end, long step) {
    Map<TrainingMember, TrainingResult> results = new HashMap<>();
    active.forEach(member -> results.put(member, result(member, reason, end, step)));
    return results;
  }

  private TrainingResult result(TrainingMember member, Reason reason, Mark end, long step) {
    return new TrainingResult(
        reason,
        member.dir,
        step,
        step * config.rows().batch(),
        end.epoch(),
        end.counts(),
        Optional.ofNullable(member.last()));
  }

  private TrainingProgress progress(long step, StepStats stats) {
    double seconds = Math.max(1e-9, (System.nanoTime() - startedNanos) * 1e-9);
    double stepsPerSecond = (step - firstStep) / seconds;
    return new TrainingProgress(
        step,
        config.steps(),
        step * config.rows().batch(),
        stats.loss(),
        stats.fvu(),
        stats.l0(),
        stats.dead(),
        stepsPerSecond * config.rows().batch(),
        Duration.ofMillis((long) (1000 * (config.steps() - step) / stepsPerSecond)));
  }
}
