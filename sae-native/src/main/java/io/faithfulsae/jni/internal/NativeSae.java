package io.faithfulsae.jni.internal;

import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.StepConfig;
import java.nio.FloatBuffer;

/** Parameters of one SAE in native memory. */
final class NativeSae implements BackendSae {
  private final NativeBackend backend;
  private final Handle handle;
  private final int dIn;
  private final int dSae;

  NativeSae(NativeBackend backend, Handle handle, int dIn, int dSae) {
    this.backend = backend;
    this.handle = handle;
    this.dIn = dIn;
    this.dSae = dSae;
    handle.freeAfter(this);
  }

  @Override
  public int dIn() {
    return dIn;
  }

  @Override
  public int dSae() {
    return dSae;
  }

  @Override
  public void write(Tensor tensor, long first, FloatBuffer from) {
    BackendChecks.transfer(tensor, dIn, dSae, first, from);
    backend.call(
        "write " + tensor,
        () ->
            SaeAbi.sae_params_write(
                handle.value(), tensor.ordinal(), first, from, from.remaining()),
        handle);
  }

  @Override
  public void read(Tensor tensor, long first, FloatBuffer into) {
    BackendChecks.transfer(tensor, dIn, dSae, first, into);
    backend.call(
        "read " + tensor,
        () ->
            SaeAbi.sae_params_read(handle.value(), tensor.ordinal(), first, into, into.remaining()),
        handle);
  }

  @Override
  public void encodeTopK(
      DeviceBuffer x, int rows, int k, DeviceBuffer indices, DeviceBuffer values) {
    Handle in = backend.handleOf("x", x);
    Handle outIndices = backend.handleOf("indices", indices);
    Handle outValues = backend.handleOf("values", values);
    backend.call(
        "encodeTopK",
        () ->
            SaeAbi.sae_encode_topk(
                handle.value(), in.value(), rows, k, outIndices.value(), outValues.value()),
        () -> {
          BackendChecks.rows(rows);
          BackendChecks.k(k, dSae);
          BackendChecks.holds("x", x, rows, dIn);
          BackendChecks.holds("indices", indices, rows, k);
          BackendChecks.holds("values", values, rows, k);
          BackendChecks.distinct("indices", indices, x, values);
          BackendChecks.distinct("values", values, x);
        },
        handle,
        in,
        outIndices,
        outValues);
  }

  @Override
  public void decode(DeviceBuffer indices, DeviceBuffer values, int rows, int k, DeviceBuffer out) {
    Handle inIndices = backend.handleOf("indices", indices);
    Handle inValues = backend.handleOf("values", values);
    Handle xHat = backend.handleOf("out", out);
    backend.call(
        "decode",
        () -> {
          BackendChecks.k(k, dSae); // sae_decode takes any k: its indices may repeat
          return SaeAbi.sae_decode(
              handle.value(), inIndices.value(), inValues.value(), rows, k, xHat.value());
        },
        () -> {
          BackendChecks.rows(rows);
          BackendChecks.holds("indices", indices, rows, k);
          BackendChecks.holds("values", values, rows, k);
          BackendChecks.holds("out", out, rows, dIn);
          BackendChecks.distinct("out", out, indices, values);
        },
        handle,
        inIndices,
        inValues,
        xHat);
  }

  @Override
  public BackendTrainer trainer(int k, StepConfig config, Gradients gradients) {
    BackendChecks.k(k, dSae);
    TrainerOptions options = TrainerOptions.of(k, config, gradients);
    Handle trainer =
        backend.make(
            "trainer",
            "trainer of [" + dSae + ", " + dIn + "]",
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
