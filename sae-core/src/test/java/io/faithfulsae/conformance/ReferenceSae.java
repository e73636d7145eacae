package io.faithfulsae.conformance;

import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.LatentBuffers;
import io.faithfulsae.spi.SaeShape;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.Selection.Rule;
import io.faithfulsae.spi.StepConfig;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** Parameters as float32 arrays, and the definition of encode and decode. */
final class ReferenceSae extends ReferenceBackend.Resource implements BackendSae {
  final SaeShape shape;
  final int dIn;
  final int dSae;
  final boolean subtractDecoderBias;
  private final Map<Tensor, float[]> tensors = new EnumMap<>(Tensor.class);
  final float[] wEnc; // [dSae, dIn]
  final float[] bEnc; // [dSae]
  final float[] wDec; // [dSae, dOut]
  final float[] bDec; // [dOut]

  ReferenceSae(ReferenceBackend backend, SaeShape shape) {
    super(backend, Float.BYTES * shape.tensors().stream().mapToLong(shape::elements).sum());
    this.shape = shape;
    this.dIn = shape.dIn();
    this.dSae = shape.dSae();
    this.subtractDecoderBias = shape.subtractDecoderBias();
    for (Tensor tensor : shape.tensors()) {
      tensors.put(tensor, new float[Math.toIntExact(shape.elements(tensor))]);
    }
    this.wEnc = tensor(Tensor.W_ENC);
    this.bEnc = tensor(Tensor.B_ENC);
    this.wDec = tensor(Tensor.W_DEC);
    this.bDec = tensor(Tensor.B_DEC);
  }

  @Override
  public SaeShape shape() {
    return shape;
  }

  float[] tensor(Tensor tensor) {
    return Objects.requireNonNull(tensors.get(tensor));
  }

  @Override
  public void write(Tensor tensor, long first, FloatBuffer from) {
    synchronized (backend) {
      requireOpen();
      BackendChecks.transfer(tensor, shape, first, from);
      from.duplicate().get(tensor(tensor), (int) first, from.remaining());
    }
  }

  @Override
  public void read(Tensor tensor, long first, FloatBuffer into) {
    synchronized (backend) {
      requireOpen();
      BackendChecks.transfer(tensor, shape, first, into);
      into.duplicate().put(tensor(tensor), (int) first, into.remaining());
    }
  }

  @Override
  public long encode(Selection selection, DeviceBuffer x, int rows, LatentBuffers into) {
    synchronized (backend) {
      requireOpen();
      BackendChecks.rows(rows);
      selection.check(dSae);
      BackendChecks.selection(selection, shape, into);
      FloatBuffer in = backend.floats("x", x, rows, dIn);
      into.check(rows);
      into.checkDistinct(x);
      requireFinite(in, rows, dIn);
      float[][] z = new float[rows][];
      for (int row = 0; row < rows; row++) {
        z[row] = activations(selection, in, row);
      }
      if (selection.rule() == Rule.BATCH_TOP_K) {
        keepOfBatch(z, (long) selection.k() * rows);
      }
      return selection.rule().isRagged() ? writeRagged(z, into) : writeRows(z, selection.k(), into);
    }
  }

  /** A row of latents, dense; for rows of k before the choice among them. */
  private float[] activations(Selection selection, FloatBuffer x, int row) {
    float[] z = new float[dSae];
    for (int j = 0; j < dSae; j++) {
      double product = 0;
      for (int i = 0; i < dIn; i++) {
        product += input(x, row, i) * wEnc[j * dIn + i];
      }
      float pre = (float) (product + bEnc[j]);
      if (selection.rule() == Rule.ABS_TOP_K) {
        z[j] = pre;
      } else if (selection.rule() != Rule.THRESHOLD) {
        z[j] = Math.max(0f, pre);
      } else if (shape.has(Tensor.R_MAG)) {
        double gain = Math.exp(tensor(Tensor.R_MAG)[j]);
        z[j] = pre > 0 ? Math.max(0f, (float) (product * gain + tensor(Tensor.B_MAG)[j])) : 0;
      } else {
        float threshold = shape.has(Tensor.THRESHOLD) ? tensor(Tensor.THRESHOLD)[j] : 0;
        z[j] = pre > threshold ? Math.max(0f, pre) : 0;
      }
    }
    if (selection.rule() == Rule.GROUP_MAX) {
      keepOfGroups(z, dSae / selection.k());
    }
    return z;
  }

  static void keepOfGroups(float[] z, int size) {
    for (int start = 0; start < z.length; start += size) {
      int best = start;
      for (int j = start + 1; j < start + size; j++) {
        best = z[j] > z[best] ? j : best;
      }
      for (int j = start; j < start + size; j++) {
        z[j] = j == best ? z[j] : 0;
      }
    }
  }

  /** Keeps the largest of a batch; of equal ones the first. */
  static void keepOfBatch(float[][] z, long count) {
    List<int[]> order = new ArrayList<>();
    for (int row = 0; row < z.length; row++) {
      for (int j = 0; j < z[row].length; j++) {
        order.add(new int[] {row, j});
      }
    }
    order.sort(Comparator.comparingDouble(at -> -z[at[0]][at[1]])); // stable
    order.stream().skip(count).forEach(at -> z[at[0]][at[1]] = 0);
  }

  private long writeRows(float[][] z, int k, LatentBuffers into) {
    int[] index = new int[k];
    float[] value = new float[k];
    IntBuffer indices = backend.memory("indices", into.indices(), z.length, k).asIntBuffer();
    FloatBuffer values = backend.floats("values", into.values(), z.length, k);
    for (int row = 0; row < z.length; row++) {
      float[] size = new float[dSae];
      for (int j = 0; j < dSae; j++) {
        size[j] = Math.abs(z[row][j]);
      }
      select(size, null, index, value);
      for (int slot = 0; slot < k; slot++) {
        value[slot] = z[row][index[slot]];
      }
      indices.put(row * k, index);
      values.put(row * k, value);
    }
    return (long) z.length * k;
  }

  private long writeRagged(float[][] z, LatentBuffers into) {
    long needed = 0;
    for (float[] row : z) {
      for (float value : row) {
        needed += value == 0 ? 0 : 1;
      }
    }
    if (BackendChecks.entries(needed) > into.room()) {
      return needed;
    }
    int entries = (int) needed;
    IntBuffer offsets =
        backend
            .memory("offsets", Objects.requireNonNull(into.offsets()), z.length + 1, 1)
            .asIntBuffer();
    IntBuffer indices = backend.memory("indices", into.indices(), 1, entries).asIntBuffer();
    FloatBuffer values = backend.floats("values", into.values(), 1, entries);
    int at = 0;
    for (int row = 0; row < z.length; row++) {
      offsets.put(row, at);
      for (int j = 0; j < dSae; j++) {
        if (z[row][j] != 0) {
          indices.put(at, j);
          values.put(at++, z[row][j]);
        }
      }
    }
    offsets.put(z.length, at);
    return entries;
  }

  /** Rounded to float32 once. */
  float preActivation(FloatBuffer x, int row, int latent) {
    double sum = bEnc[latent];
    for (int i = 0; i < dIn; i++) {
      sum += input(x, row, i) * wEnc[latent * dIn + i];
    }
    return (float) sum;
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

  void requireFinite(FloatBuffer x, int rows, int width) {
    for (int row = 0; row < rows; row++) {
      for (int i = 0; i < width; i++) {
        float value = x.get(row * width + i);
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
  public void decode(LatentBuffers latents, int rows, @Nullable DeviceBuffer x, DeviceBuffer out) {
    synchronized (backend) {
      requireOpen();
      BackendChecks.rows(rows);
      if (latents.offsets() == null) {
        BackendChecks.k(latents.k(), dSae);
      }
      latents.check(rows);
      BackendChecks.skip(shape, x);
      FloatBuffer xHat = backend.floats("out", out, rows, shape.dOut());
      latents.checkDistinctFrom(out, x);
      if (x != null) {
        BackendChecks.holds("x", x, rows, dIn);
      }
      int[] starts = starts(latents, rows);
      IntBuffer index = backend.memory("indices", latents.indices(), 1, starts[rows]).asIntBuffer();
      FloatBuffer value = backend.floats("values", latents.values(), 1, starts[rows]);
      for (int row = 0; row < rows; row++) {
        for (int at = starts[row]; at < starts[row + 1]; at++) {
          if (index.get(at) < 0 || index.get(at) >= dSae) {
            throw new IllegalArgumentException(
                "expected indices in [0, d_sae = "
                    + dSae
                    + "), got "
                    + index.get(at)
                    + " in row "
                    + row
                    + "; decode with the SAE that encoded");
          }
        }
      }
      for (int row = 0; row < rows; row++) {
        double[] sum = new double[shape.dOut()];
        for (int i = 0; i < sum.length; i++) {
          sum[i] = bDec[i];
        }
        for (int at = starts[row]; at < starts[row + 1]; at++) {
          addDirection(sum, value.get(at), index.get(at));
        }
        if (x != null) {
          addSkip(sum, backend.floats("x", x, rows, dIn), row);
        }
        for (int i = 0; i < sum.length; i++) {
          xHat.put(row * sum.length + i, (float) sum[i]);
        }
      }
    }
  }

  private int[] starts(LatentBuffers latents, int rows) {
    int[] starts = new int[rows + 1];
    for (int row = 0; row <= rows; row++) {
      starts[row] =
          latents.offsets() == null
              ? row * latents.k()
              : backend.memory("offsets", latents.offsets(), rows + 1, 1).asIntBuffer().get(row);
      if (starts[row] < (row == 0 ? 0 : starts[row - 1]) || starts[row] > latents.room()) {
        throw new IllegalArgumentException(
            "expected offsets that ascend within [0, "
                + latents.room()
                + "], got "
                + starts[row]
                + " at "
                + row
                + "; decode latents as they were encoded");
      }
    }
    return starts;
  }

  /** W_skip; empty if there is none. */
  float[] skip() {
    return tensors.getOrDefault(Tensor.W_SKIP, new float[0]);
  }

  /** {@code sum += x W_skipᵀ}, if there is a skip connection. */
  void addSkip(double[] sum, FloatBuffer x, int row) {
    float[] skip = skip();
    for (int i = 0; i < sum.length; i++) {
      for (int from = 0; from < skip.length / sum.length; from++) {
        sum[i] += (double) x.get(row * dIn + from) * skip[i * dIn + from];
      }
    }
  }

  /** {@code sum += z · W_dec[latent]}. */
  void addDirection(double[] sum, double z, int latent) {
    for (int i = 0; i < sum.length; i++) {
      sum[i] += z * wDec[latent * sum.length + i];
    }
  }

  @Override
  public BackendTrainer trainer(Selection selection, StepConfig config, Gradients gradients) {
    synchronized (backend) {
      requireOpen();
      BackendChecks.training(selection, shape, config);
      return new ReferenceTrainer(this, selection, config, gradients);
    }
  }
}
