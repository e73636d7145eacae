package io.faithfulsae.jni.internal;

import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.LatentBuffers;
import io.faithfulsae.spi.SaeShape;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.StepConfig;
import java.nio.FloatBuffer;
import org.jspecify.annotations.Nullable;

/** Parameters of one SAE in native memory. */
final class NativeSae implements BackendSae {
  private final NativeBackend backend;
  private final Handle handle;
  private final SaeShape shape;

  NativeSae(NativeBackend backend, Handle handle, SaeShape shape) {
    this.backend = backend;
    this.handle = handle;
    this.shape = shape;
    handle.freeAfter(this);
  }

  @Override
  public SaeShape shape() {
    return shape;
  }

  @Override
  public void write(Tensor tensor, long first, FloatBuffer from) {
    BackendChecks.transfer(tensor, shape, first, from);
    backend.call(
        "write " + tensor,
        () ->
            SaeAbi.sae_params_write(
                handle.value(), tensor.ordinal(), first, from, from.remaining()),
        handle);
  }

  @Override
  public void read(Tensor tensor, long first, FloatBuffer into) {
    BackendChecks.transfer(tensor, shape, first, into);
    backend.call(
        "read " + tensor,
        () ->
            SaeAbi.sae_params_read(handle.value(), tensor.ordinal(), first, into, into.remaining()),
        handle);
  }

  @Override
  public long encode(Selection selection, DeviceBuffer x, int rows, LatentBuffers into) {
    Handle in = backend.handleOf("x", x);
    Handle indices = backend.handleOf("indices", into.indices());
    Handle values = backend.handleOf("values", into.values());
    Handle offsets = offsetsOf(into);
    long[] entries = {(long) rows * selection.k()};
    backend.call(
        "encode",
        () -> {
          BackendChecks.selection(selection, shape, into); // sae_encode sees one k alone
          return SaeAbi.sae_encode(
              handle.value(),
              selection.rule().ordinal(),
              in.value(),
              rows,
              selection.k(),
              offsets == null ? 0 : offsets.value(),
              indices.value(),
              values.value(),
              into.room(),
              entries);
        },
        () -> {
          BackendChecks.rows(rows);
          selection.check(shape.dSae());
          BackendChecks.holds("x", x, rows, shape.dIn());
          into.check(rows);
          into.checkDistinct(x);
        },
        handle,
        in,
        indices,
        values,
        offsets == null ? values : offsets);
    return entries[0];
  }

  @Override
  public void decode(LatentBuffers latents, int rows, @Nullable DeviceBuffer x, DeviceBuffer out) {
    Handle indices = backend.handleOf("indices", latents.indices());
    Handle values = backend.handleOf("values", latents.values());
    Handle offsets = offsetsOf(latents);
    Handle input = x == null ? null : backend.handleOf("x", x);
    Handle xHat = backend.handleOf("out", out);
    backend.call(
        "decode",
        () -> {
          if (offsets == null) {
            BackendChecks.k(
                latents.k(), shape.dSae()); // sae_decode takes any k: indices may repeat
          }
          return SaeAbi.sae_decode(
              handle.value(),
              offsets == null ? 0 : offsets.value(),
              indices.value(),
              values.value(),
              rows,
              latents.k(),
              input == null ? 0 : input.value(),
              xHat.value());
        },
        () -> {
          BackendChecks.rows(rows);
          latents.check(rows);
          BackendChecks.skip(shape, x);
          BackendChecks.holds("out", out, rows, shape.dOut());
          latents.checkDistinctFrom(out, x);
          if (x != null) {
            BackendChecks.holds("x", x, rows, shape.dIn());
          }
        },
        handle,
        indices,
        values,
        offsets == null ? values : offsets,
        input == null ? xHat : input,
        xHat);
  }

  private @Nullable Handle offsetsOf(LatentBuffers latents) {
    DeviceBuffer offsets = latents.offsets();
    return offsets == null ? null : backend.handleOf("offsets", offsets);
  }

  @Override
  public BackendTrainer trainer(Selection selection, StepConfig config, Gradients gradients) {
    BackendChecks.training(selection, shape, config);
    TrainerOptions options = TrainerOptions.of(selection, config, gradients);
    Handle trainer =
        backend.make(
            "trainer",
            "trainer of [" + shape.dSae() + ", " + shape.dIn() + "]",
            handle,
            out ->
                SaeAbi.sae_trainer_create(
                    handle.value(), options.keys(), options.values(), options.count(), out),
            SaeAbi::sae_trainer_close);
    return new NativeTrainer(backend, this, trainer);
  }

  @Override
  public void close() {
    handle.close();
  }
}
