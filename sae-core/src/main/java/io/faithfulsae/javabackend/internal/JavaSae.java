package io.faithfulsae.javabackend.internal;

import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.LatentBuffers;
import io.faithfulsae.spi.SaeShape;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.StepConfig;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** An SAE's parameters in Java's heap. */
final class JavaSae extends Resource implements BackendSae {
  private final SaeShape shape;
  private final Map<Tensor, Matrix> tensors = new EnumMap<>(Tensor.class);
  private final Map<Tensor, Panels> packed = new EnumMap<>(Tensor.class);

  JavaSae(JavaBackend backend, SaeShape shape) {
    super(backend);
    this.shape = shape;
    for (Tensor tensor : shape.tensors()) {
      tensors.put(tensor, like(tensor, shape));
    }
  }

  /** Zeros in the shape of a tensor. */
  static Matrix like(Tensor tensor, SaeShape shape) {
    return switch (tensor) {
      case W_ENC -> new Matrix(shape.dSae(), shape.dIn());
      case W_DEC -> new Matrix(shape.dSae(), shape.dOut());
      case W_SKIP -> new Matrix(shape.dOut(), shape.dIn());
      default -> new Matrix(1, (int) shape.elements(tensor));
    };
  }

  @Override
  long ownBytes() {
    return tensors.values().stream().mapToLong(Matrix::bytes).sum()
        + packed.values().stream().mapToLong(Panels::bytes).sum();
  }

  @Override
  public SaeShape shape() {
    return shape;
  }

  Matrix tensor(Tensor tensor) {
    return Objects.requireNonNull(tensors.get(tensor));
  }

  float[] vector(Tensor tensor) {
    return tensor(tensor).vector();
  }

  float[] bDec() {
    return vector(Tensor.B_DEC);
  }

  float[][] wDec() {
    return tensor(Tensor.W_DEC).rows;
  }

  /** The rows of W_enc or W_skip, ready for products; kept until the parameters change. */
  Panels panels(Tensor tensor) {
    return packed.computeIfAbsent(
        tensor, t -> new Panels(tensor(t).rows, tensor(t).columns(), null).pack(backend.workers()));
  }

  /** To be called when parameters have changed. */
  void changed() {
    packed.values().forEach(panels -> panels.pack(backend.workers()));
  }

  @Override
  public void write(Tensor tensor, long first, FloatBuffer from) {
    synchronized (backend) {
      requireOpen();
      BackendChecks.transfer(tensor, shape, first, from);
      tensor(tensor).write(first, from);
      packed.remove(tensor);
    }
  }

  @Override
  public void read(Tensor tensor, long first, FloatBuffer into) {
    synchronized (backend) {
      requireOpen();
      BackendChecks.transfer(tensor, shape, first, into);
      tensor(tensor).read(first, into);
    }
  }

  @Override
  public long encode(Selection selection, DeviceBuffer x, int rows, LatentBuffers into) {
    synchronized (backend) {
      requireOpen();
      BackendChecks.rows(rows);
      selection.check(shape.dSae());
      BackendChecks.selection(selection, shape, into);
      FloatBuffer in = backend.floats("x", x, rows, shape.dIn());
      into.check(rows);
      into.checkDistinct(x);
      IntBuffer indices = backend.ints("indices", into.indices(), 1, 1);
      FloatBuffer values = backend.floats("values", into.values(), 1, 1);
      DeviceBuffer offsets = into.offsets();
      IntBuffer starts = offsets == null ? null : backend.ints("offsets", offsets, rows + 1L, 1);
      try {
        Rows.requireFinite(backend.workers(), in, rows, shape.dIn());
        long room = starts == null ? Long.MAX_VALUE : into.room();
        Encoder encoder = new Encoder(this, selection, selection.k(), room);
        Kept kept = encoder.keep(rows, new Rows(in, shape.dIn(), subtracted()));
        if (starts == null) {
          LatentWriter.rowsOfK(kept, selection.k(), indices, values);
          return (long) rows * selection.k();
        }
        long entries = BackendChecks.entries(encoder.entries());
        if (entries <= room) {
          LatentWriter.ragged(kept, starts, indices, values);
        }
        return entries;
      } catch (OutOfMemoryError e) {
        throw JavaBackend.outOfMemory("encode", e);
      }
    }
  }

  /** What is subtracted from rows before they are encoded. */
  float @Nullable [] subtracted() {
    return shape.subtractDecoderBias() ? bDec() : null;
  }

  @Override
  public void decode(LatentBuffers latents, int rows, @Nullable DeviceBuffer x, DeviceBuffer out) {
    synchronized (backend) {
      requireOpen();
      BackendChecks.rows(rows);
      if (latents.offsets() == null) {
        BackendChecks.k(latents.k(), shape.dSae());
      }
      latents.check(rows);
      BackendChecks.skip(shape, x);
      FloatBuffer xHat = backend.floats("out", out, rows, shape.dOut());
      latents.checkDistinctFrom(out, x);
      FloatBuffer in = x == null ? null : backend.floats("x", x, rows, shape.dIn());
      try {
        new Decoder(this, latents, rows).decode(in, xHat);
      } catch (OutOfMemoryError e) {
        throw JavaBackend.outOfMemory("decode", e);
      }
    }
  }

  @Override
  public BackendTrainer trainer(
      Selection selection, StepConfig config, BackendTrainer.Gradients gradients) {
    synchronized (backend) {
      requireOpen();
      BackendChecks.training(selection, shape, config);
      Refusals.check(selection, config);
      try {
        return new JavaTrainer(this, selection, config, gradients);
      } catch (OutOfMemoryError e) {
        throw JavaBackend.outOfMemory("trainer", e);
      }
    }
  }
}
