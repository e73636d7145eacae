package io.faithfulsae.javabackend.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.StepConfig;
import io.faithfulsae.spi.StepConfig.DecoderNorm;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** The training step. Gradients are stored only where they are to be accumulated. */
final class JavaTrainer extends Resource implements BackendTrainer {
  private final JavaSae sae;
  private final Selection selection;
  private final StepConfig config;
  private final Set<State> states;
  private final @Nullable Moments moments;
  private final @Nullable StoredGradient stored;
  private final IdleCounters idle;
  private final double[] learnedThreshold = {-1};
  private final double[] averaging = new double[2];
  private final long[] steps = new long[1];
  private Totals totals; // of the parts accumulated
  private StepStats stats = new StepStats(0, 0, 0, 0, 0, 0, 0, 0);

  JavaTrainer(JavaSae sae, Selection selection, StepConfig config, Gradients gradients) {
    super(sae.backend);
    this.sae = sae;
    this.selection = selection;
    this.config = config;
    this.states = State.of(selection, sae.shape(), config.optimizer());
    this.moments = gradients == Gradients.ONLY ? null : new Moments(sae.shape(), states);
    this.stored = gradients == Gradients.NONE ? null : new StoredGradient(sae.shape());
    this.idle = new IdleCounters(config.dead(), sae.dSae());
    this.totals = new Totals(sae.dSae());
  }

  @Override
  long ownBytes() {
    return idle.bytes()
        + (moments == null ? 0 : moments.bytes())
        + (stored == null ? 0 : stored.bytes());
  }

  @Override
  public void step(DeviceBuffer x, @Nullable DeviceBuffer y, int rows, double lr) {
    synchronized (backend) {
      Moments to = requireMoments();
      BackendChecks.rows(rows);
      BackendChecks.learningRate(lr);
      FloatBuffer in = backend.floats("x", x, rows, sae.dIn());
      BackendChecks.target(sae.shape(), y, rows);
      FloatBuffer target = y == null ? null : backend.floats("y", y, rows, sae.shape().dOut());
      requireNothingAccumulated("a step");
      Totals whole = new Totals(sae.dSae());
      Gradient gradient = pass(in, target, 0, rows, whole);
      update(whole, gradient, lr, to);
    }
  }

  @Override
  public void accumulate(DeviceBuffer x, @Nullable DeviceBuffer y, int first, int rows) {
    synchronized (backend) {
      StoredGradient into = requireGradients();
      BackendChecks.part(first, rows);
      FloatBuffer in = backend.floats("x", x, (long) first + rows, sae.dIn());
      BackendChecks.target(sae.shape(), y, (long) first + rows);
      FloatBuffer target =
          y == null ? null : backend.floats("y", y, (long) first + rows, sae.shape().dOut());
      try {
        into.add(backend.workers(), pass(in, target, first, rows, totals));
      } catch (IllegalArgumentException e) {
        discard(into);
        throw e;
      }
    }
  }

  private Gradient pass(FloatBuffer x, @Nullable FloatBuffer y, int first, int rows, Totals into) {
    try {
      Batch batch = Batch.of(sae, x, y, first, rows);
      int k = config.annealing().kAfter(steps[0], selection.k());
      return new Pass(sae, selection, config, batch).run(selection, k, idle, into);
    } catch (OutOfMemoryError e) {
      throw JavaBackend.outOfMemory("training step", e);
    }
  }

  private void discard(StoredGradient accumulated) {
    accumulated.clear(backend.workers());
    totals = new Totals(sae.dSae());
  }

  @Override
  public void apply(double lr) {
    synchronized (backend) {
      StoredGradient from = requireGradients();
      Moments to = requireMoments();
      BackendChecks.learningRate(lr);
      if (totals.rows == 0) {
        throw new IllegalArgumentException(
            Expected.message(
                "rows accumulated before they are applied", "none", "accumulate them"));
      }
      update(totals, from, lr, to);
      discard(from);
    }
  }

  private void update(Totals of, Gradient gradient, double lr, Moments to) {
    int dead = idle.count(of.fired, of.rows);
    learnThreshold(of.least);
    Update update = new Update(sae, config, gradient, of.rows);
    double norm = update.norm();
    update.normalize(DecoderNorm.BEFORE_STEP);
    update.move(update.clip(norm), optimizer(lr, to), to);
    update.normalize(DecoderNorm.AFTER_STEP);
    sae.changed();
    stats =
        new StepStats(
            steps[0],
            (of.reconstruction + of.aux) / of.rows,
            of.reconstruction / of.rows,
            of.aux / of.rows,
            0,
            (double) of.active / of.rows,
            dead,
            of.squaredError * Totals.inverse(of.variance),
            norm,
            0,
            0);
  }

  private Optimizer optimizer(double lr, Moments to) {
    if (config.optimizer() == StepConfig.Optimizer.ADAM) {
      return Optimizer.adam(config.adam(), lr, ++steps[0]);
    }
    if (steps[0]++ == 0) {
      to.start(sae);
    }
    return Optimizer.signum(lr, Optimizer.share(averaging, lr));
  }

  private void learnThreshold(double least) {
    StepConfig.Threshold how = config.threshold();
    if (selection.rule() != Selection.Rule.BATCH_TOP_K
        || how.rate() == 0
        || steps[0] < how.afterSteps()
        || Double.isInfinite(least)) {
      return;
    }
    double from = learnedThreshold[0];
    if (from < 0) {
      from = how.fromFirst() ? least : 0;
    }
    learnedThreshold[0] = from + how.rate() * (least - from);
  }

  @Override
  public void add(BackendTrainer from) {
    withBoth(
        from,
        () -> {
          StoredGradient into = requireGradients();
          JavaTrainer other = alike(from);
          StoredGradient theirs = other.requireGradients();
          if (other.totals.rows == 0) {
            throw new IllegalArgumentException(
                Expected.message(
                    "rows accumulated in the other trainer", "none", "accumulate them"));
          }
          into.add(backend.workers(), theirs);
          totals.add(other.totals);
          other.discard(theirs);
        });
  }

  @Override
  public void copy(BackendTrainer from) {
    withBoth(
        from,
        () -> {
          requireOpen();
          sae.requireOpen();
          JavaTrainer other = alike(from);
          other.requireOpen();
          requireNothingAccumulated("parameters are taken over");
          learnedThreshold[0] = other.learnedThreshold[0];
          steps[0] = other.steps[0];
          for (Tensor tensor : sae.shape().tensors()) {
            sae.tensor(tensor).copy(other.sae.tensor(tensor));
          }
          sae.changed();
          idle.copy(other.idle);
        });
  }

  /** Keeps both trainers' backends for itself, without a deadlock. */
  private void withBoth(BackendTrainer with, Runnable action) {
    JavaBackend other = with instanceof JavaTrainer trainer ? trainer.backend : backend;
    boolean first = backend.number <= other.number;
    synchronized (first ? backend : other) {
      synchronized (first ? other : backend) {
        action.run();
      }
    }
  }

  private JavaTrainer alike(BackendTrainer trainer) {
    if (!(trainer instanceof JavaTrainer other)
        || other == this
        || !other.sae.shape().equals(sae.shape())
        || !other.selection.equals(selection)
        || !other.config.equals(config)) {
      throw new IllegalArgumentException(
          Expected.message(
              "another trainer of the same shape and options", trainer, "make both alike"));
    }
    return other;
  }

  private StoredGradient requireGradients() {
    requireOpen();
    sae.requireOpen();
    if (stored == null) {
      throw new IllegalArgumentException(
          Expected.message(
              "a trainer that keeps gradients",
              "one that keeps none",
              "make it with Gradients.KEPT"));
    }
    return stored;
  }

  private Moments requireMoments() {
    requireOpen();
    sae.requireOpen();
    if (moments == null) {
      throw new IllegalArgumentException(
          Expected.message(
              "a trainer with moments",
              "one that accumulates only",
              "make it with Gradients.KEPT"));
    }
    return moments;
  }

  private void requireNothingAccumulated(String before) {
    if (totals.rows > 0) {
      throw new IllegalArgumentException(
          Expected.message(
              "nothing accumulated before " + before, totals.rows + " rows", "apply them"));
    }
  }

  @Override
  public StepStats stats() {
    synchronized (backend) {
      requireOpen();
      return stats;
    }
  }

  @Override
  public void write(State state, long first, ByteBuffer from) {
    synchronized (backend) {
      requireState(state);
      BackendChecks.transfer(state, sae.shape(), first, from);
      ByteBuffer bytes = from.duplicate().order(from.order());
      switch (state) {
        case LEARNED_THRESHOLD, AVERAGING ->
            bytes.asDoubleBuffer().get(doubles(state), (int) first, bytes.remaining() / Long.BYTES);
        case IDLE_BATCHES, IDLE_ROWS, STEPS ->
            bytes.asLongBuffer().get(longs(state), (int) first, bytes.remaining() / Long.BYTES);
        default -> requireMoments().of(state).write(first, bytes.asFloatBuffer());
      }
    }
  }

  @Override
  public void read(State state, long first, ByteBuffer into) {
    synchronized (backend) {
      requireState(state);
      BackendChecks.transfer(state, sae.shape(), first, into);
      ByteBuffer bytes = into.duplicate().order(into.order());
      switch (state) {
        case LEARNED_THRESHOLD, AVERAGING ->
            bytes.asDoubleBuffer().put(doubles(state), (int) first, bytes.remaining() / Long.BYTES);
        case IDLE_BATCHES, IDLE_ROWS, STEPS ->
            bytes.asLongBuffer().put(longs(state), (int) first, bytes.remaining() / Long.BYTES);
        default -> requireMoments().of(state).read(first, bytes.asFloatBuffer());
      }
    }
  }

  private void requireState(State state) {
    requireOpen();
    if (!states.contains(state)) {
      throw new IllegalArgumentException(
          Expected.message("a state of a trainer with " + selection, state, "read another"));
    }
  }

  private double[] doubles(State state) {
    return state == State.AVERAGING ? averaging : learnedThreshold;
  }

  private long[] longs(State state) {
    return switch (state) {
      case IDLE_BATCHES -> idle.batches;
      case IDLE_ROWS -> idle.rows;
      default -> steps;
    };
  }
}
