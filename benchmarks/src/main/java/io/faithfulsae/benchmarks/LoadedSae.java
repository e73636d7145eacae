package io.faithfulsae.benchmarks;

import io.faithfulsae.Activation;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Backends;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.nio.FloatBuffer;
import java.util.Arrays;

/** A workload's weights and rows on the CPU backend. */
final class LoadedSae implements AutoCloseable {
  final Workload workload;
  final Backend backend;
  final Sae sae;
  final ActivationBatch x;

  LoadedSae(Workload workload) {
    this(workload, new TopK(workload.k()), true);
  }

  /**
   * Loads them.
   *
   * @param subtract whether b_dec, which is zero, is subtracted from the input
   */
  LoadedSae(Workload workload, Activation activation, boolean subtract) {
    this.workload = workload;
    this.backend = Backends.open("cpu");
    this.sae =
        Sae.create(
            new SaeConfig(
                workload.dIn(), workload.dSae(), activation, subtract, Normalization.NONE),
            backend);
    this.x = ActivationBatch.allocate(backend, workload.rows(), workload.dIn());
    WorkloadArrays arrays = WorkloadArrays.of(workload);
    x.data().put(arrays.activations());
    x.rows(workload.rows());
    BackendSae parameters = sae.parameters();
    parameters.write(Tensor.W_ENC, 0, direct(arrays.encoder()));
    parameters.write(Tensor.W_DEC, 0, direct(arrays.decoder()));
  }

  Latents latents() {
    return Latents.allocate(backend, workload.rows(), workload.k());
  }

  /** Sets all elements of a tensor. */
  void fill(Tensor tensor, float value) {
    float[] values = new float[(int) sae.parameters().shape().elements(tensor)];
    Arrays.fill(values, value);
    sae.parameters().write(tensor, 0, direct(values));
  }

  private static FloatBuffer direct(float[] values) {
    FloatBuffer buffer = DirectBuffers.floats(values.length);
    buffer.put(values).flip();
    return buffer;
  }

  @Override
  public void close() {
    backend.close();
  }
}
