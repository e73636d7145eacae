package io.faithfulsae.conformance;

import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.StepConfig;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import org.jspecify.annotations.Nullable;

/** Parameters as float32 arrays, and the definition of encode and decode. */
final class ReferenceSae extends ReferenceBackend.Resource implements BackendSae {
  final int dIn;
  final int dSae;
  final boolean subtractDecoderBias;
  final float[] wEnc; // [dSae, dIn]
  final float[] bEnc; // [dSae]
  final float[] wDec; // [dSae, dIn]
  final float[] bDec; // [dIn]

  ReferenceSae(ReferenceBackend backend, int dIn, int dSae, boolean subtractDecoderBias) {
    super(backend, Float.BYTES * (2L * dIn * dSae + dSae + dIn));
    this.dIn = dIn;
    this.dSae = dSae;
    this.subtractDecoderBias = subtractDecoderBias;
    this.wEnc = new float[Math.multiplyExact(dIn, dSae)];
    this.bEnc = new float[dSae];
    this.wDec = new float[dIn * dSae];
    this.bDec = new float[dIn];
  }

  @Override
  public int dIn() {
    return dIn;
  }

  @Override
  public int dSae() {
    return dSae;
  }

  float[] tensor(Tensor tensor) {
    return switch (tensor) {
      case W_ENC -> wEnc;
      case B_ENC -> bEnc;
      case W_DEC -> wDec;
      case B_DEC -> bDec;
    };
  }

  @Override
  public void write(Tensor tensor, long first, FloatBuffer from) {
    synchronized (backend) {
      requireOpen();
      BackendChecks.transfer(tensor, dIn, dSae, first, from);
      from.duplicate().get(tensor(tensor), (int) first, from.remaining());
    }
  }

  @Override
  public void read(Tensor tensor, long first, FloatBuffer into) {
    synchronized (backend) {
      requireOpen();
      BackendChecks.transfer(tensor, dIn, dSae, first, into);
      into.duplicate().put(tensor(tensor), (int) first, into.remaining());
    }
  }

  @Override
  public void encodeTopK(
      DeviceBuffer x, int rows, int k, DeviceBuffer indices, DeviceBuffer values) {
    synchronized (backend) {
      requireOpen();
      BackendChecks.rows(rows);
      BackendChecks.k(k, dSae);
      FloatBuffer in = backend.floats("x", x, rows, dIn);
      FloatBuffer outValues = backend.floats("values", values, rows, k);
      IntBuffer outIndices = backend.memory("indices", indices, rows, k).asIntBuffer();
      BackendChecks.distinct("indices", indices, x, values);
      BackendChecks.distinct("values", values, x);
      requireFinite(in, rows);
      int[] index = new int[k];
      float[] value = new float[k];
      for (int row = 0; row < rows; row++) {
        select(positivePreActivations(in, row), null, index, value);
        outIndices.put(row * k, index);
        outValues.put(row * k, value);
      }
    }
  }

  /** ReLU of the pre-activations of one row, each rounded to float32 once. */
  float[] positivePreActivations(FloatBuffer x, int row) {
    float[] p = new float[dSae];
    for (int j = 0; j < dSae; j++) {
      double sum = bEnc[j];
      for (int i = 0; i < dIn; i++) {
        sum += input(x, row, i) * wEnc[j * dIn + i];
      }
      p[j] = Math.max(0f, (float) sum);
    }
    return p;
  }

  /** The encoder's input for element i of a row. */
  double input(FloatBuffer x, int row, int i) {
    double value = x.get(row * dIn + i);
    return subtractDecoderBias ? value - bDec[i] : value;
  }

  /**
   * Fills {@code index} and {@code value} with the largest of {@code p}: value descending, then
   * lower index. Since {@code p >= 0}, this order also pads with zeros at the lowest indices.
   *
   * @param among the candidates; null for all
   */
  static void select(float[] p, boolean @Nullable [] among, int[] index, float[] value) {
    int taken = 0;
    for (int j = 0; j < p.length; j++) {
      if (among != null && !among[j]) {
        continue;
      }
      if (taken == index.length && p[j] <= value[taken - 1]) {
        continue;
      }
      int at = taken < index.length ? taken++ : taken - 1;
      for (; at > 0 && p[j] > value[at - 1]; at--) {
        value[at] = value[at - 1];
        index[at] = index[at - 1];
      }
      value[at] = p[j];
      index[at] = j;
    }
  }

  void requireFinite(FloatBuffer x, int rows) {
    for (int row = 0; row < rows; row++) {
      for (int i = 0; i < dIn; i++) {
        float value = x.get(row * dIn + i);
        if (!Float.isFinite(value)) {
          throw new IllegalArgumentException(
              "expected finite activations, got "
                  + value
                  + " in row "
                  + row
                  + " of "
                  + rows
                  + "; drop that row");
        }
      }
    }
  }

  @Override
  public void decode(DeviceBuffer indices, DeviceBuffer values, int rows, int k, DeviceBuffer out) {
    synchronized (backend) {
      requireOpen();
      BackendChecks.rows(rows);
      BackendChecks.k(k, dSae);
      IntBuffer index = backend.memory("indices", indices, rows, k).asIntBuffer();
      FloatBuffer value = backend.floats("values", values, rows, k);
      FloatBuffer xHat = backend.floats("out", out, rows, dIn);
      BackendChecks.distinct("out", out, indices, values);
      for (int at = 0; at < rows * k; at++) {
        if (index.get(at) < 0 || index.get(at) >= dSae) {
          throw new IllegalArgumentException(
              "expected indices in [0, d_sae = "
                  + dSae
                  + "), got "
                  + index.get(at)
                  + " in row "
                  + at / k
                  + "; decode with the SAE that encoded");
        }
      }
      double[] sum = new double[dIn];
      for (int row = 0; row < rows; row++) {
        for (int i = 0; i < dIn; i++) {
          sum[i] = bDec[i];
        }
        for (int slot = row * k; slot < (row + 1) * k; slot++) {
          addDirection(sum, value.get(slot), index.get(slot));
        }
        for (int i = 0; i < dIn; i++) {
          xHat.put(row * dIn + i, (float) sum[i]);
        }
      }
    }
  }

  /** {@code sum += z · W_dec[latent]}. */
  void addDirection(double[] sum, double z, int latent) {
    for (int i = 0; i < dIn; i++) {
      sum[i] += z * wDec[latent * dIn + i];
    }
  }

  @Override
  public BackendTrainer trainer(int k, StepConfig config, Gradients gradients) {
    synchronized (backend) {
      requireOpen();
      BackendChecks.k(k, dSae);
      return new ReferenceTrainer(this, k, config, gradients);
    }
  }
}
