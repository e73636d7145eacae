package io.faithfulsae.jni.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.ByteBuffer;
import org.bytedeco.javacpp.BytePointer;
import org.jspecify.annotations.Nullable;

/** Optimiser state in native memory. */
final class NativeTrainer implements BackendTrainer {
  private final NativeBackend backend;
  private final NativeSae sae;
  private final Handle handle;

  NativeTrainer(NativeBackend backend, NativeSae sae, Handle handle) {
    this.backend = backend;
    this.sae = sae;
    this.handle = handle;
    handle.freeAfter(this);
  }

  @Override
  public void step(DeviceBuffer x, @Nullable DeviceBuffer y, int rows, double lr) {
    Handle in = backend.handleOf("x", x);
    Handle target = y == null ? null : backend.handleOf("y", y);
    backend.call(
        "step",
        () -> SaeAbi.sae_train_step(handle.value(), in.value(), value(target), rows, lr),
        () -> {
          BackendChecks.rows(rows);
          BackendChecks.learningRate(lr);
          BackendChecks.holds("x", x, rows, sae.dIn());
          BackendChecks.target(sae.shape(), y, rows);
        },
        handle,
        others(in, target));
  }

  @Override
  public void accumulate(DeviceBuffer x, @Nullable DeviceBuffer y, int first, int rows) {
    Handle in = backend.handleOf("x", x);
    Handle target = y == null ? null : backend.handleOf("y", y);
    backend.call(
        "accumulate",
        () -> SaeAbi.sae_train_accumulate(handle.value(), in.value(), value(target), first, rows),
        () -> {
          BackendChecks.part(first, rows);
          BackendChecks.holds("x", x, first + rows, sae.dIn());
          BackendChecks.target(sae.shape(), y, first + rows);
        },
        handle,
        others(in, target));
  }

  private static long value(@Nullable Handle target) {
    return target == null ? 0 : target.value();
  }

  /** The handles of its arguments. */
  private static Handle[] others(Handle in, @Nullable Handle target) {
    return target == null ? new Handle[] {in} : new Handle[] {in, target};
  }

  @Override
  public void apply(double lr) {
    backend.call(
        "apply",
        () -> SaeAbi.sae_train_apply(handle.value(), lr),
        () -> BackendChecks.learningRate(lr),
        handle);
  }

  @Override
  public void add(BackendTrainer from) {
    Handle other = of(from);
    backend.call("add", () -> SaeAbi.sae_trainer_add(handle.value(), other.value()), handle, other);
  }

  @Override
  public void copy(BackendTrainer from) {
    Handle other = of(from);
    backend.call(
        "copy", () -> SaeAbi.sae_trainer_copy(handle.value(), other.value()), handle, other);
  }

  private static Handle of(BackendTrainer trainer) {
    if (trainer instanceof NativeTrainer own) {
      return own.handle;
    }
    throw new IllegalArgumentException(
        Expected.message(
            "a trainer of sae-native",
            "one of class " + trainer.getClass().getName(),
            "create both on backends of the same kind"));
  }

  @Override
  public StepStats stats() {
    double[] s = new double[SaeAbi.SAE_STAT_COUNT];
    backend.call("stats", () -> SaeAbi.sae_trainer_stats(handle.value(), s), handle);
    return new StepStats(
        (long) s[SaeAbi.SAE_STAT_STEPS],
        s[SaeAbi.SAE_STAT_LOSS],
        s[SaeAbi.SAE_STAT_RECONSTRUCTION],
        s[SaeAbi.SAE_STAT_AUX],
        s[SaeAbi.SAE_STAT_SPARSITY],
        s[SaeAbi.SAE_STAT_L0],
        (long) s[SaeAbi.SAE_STAT_DEAD],
        s[SaeAbi.SAE_STAT_FVU],
        s[SaeAbi.SAE_STAT_GRADIENT_NORM],
        s[SaeAbi.SAE_STAT_LISTED],
        (long) s[SaeAbi.SAE_STAT_OVERFLOWED]);
  }

  @Override
  public void write(State state, long first, ByteBuffer from) {
    long count = count(state, first, from);
    try (BytePointer source = new BytePointer(from)) {
      backend.call(
          "write " + state,
          () -> SaeAbi.sae_trainer_write(handle.value(), state.ordinal(), first, source, count),
          handle);
    }
  }

  @Override
  public void read(State state, long first, ByteBuffer into) {
    long count = count(state, first, into);
    try (BytePointer target = new BytePointer(into)) {
      backend.call(
          "read " + state,
          () -> SaeAbi.sae_trainer_read(handle.value(), state.ordinal(), first, target, count),
          handle);
    }
  }

  private long count(State state, long first, ByteBuffer host) {
    BackendChecks.transfer(state, sae.shape(), first, host);
    return host.remaining() / BackendChecks.elementBytes(state);
  }

  @Override
  public void close() {
    handle.close();
  }
}
