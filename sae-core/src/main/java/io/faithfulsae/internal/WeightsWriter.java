package io.faithfulsae.internal;

import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.List;

/**
 * Gives a backend's tensors to a writer of files, as they are or transposed. A matrix is transposed
 * in blocks, so that no second copy of it is in memory. NaN and infinity are an error.
 */
final class WeightsWriter {
  private final SaeConfig config;
  private final BackendSae from;
  private final double activationScale;

  /**
   * Creates a writer.
   *
   * @param activationScale factor on the activations that the weights were trained on, which is
   *     folded into them; 1 for none
   */
  WeightsWriter(SaeConfig config, BackendSae from, double activationScale) {
    this.config = config;
    this.from = from;
    this.activationScale = activationScale;
  }

  private double scale(Tensor tensor) {
    return switch (tensor) {
      case W_ENC -> activationScale;
      case W_DEC, B_DEC -> 1 / activationScale;
      default -> 1;
    };
  }

  private List<Long> shape(Tensor tensor) {
    long in = config.dIn();
    long out = config.dOut();
    long latents = config.dSae();
    return switch (tensor) {
      case W_ENC -> List.of(latents, in);
      case W_DEC -> List.of(latents, out);
      case W_SKIP -> List.of(out, in);
      case B_DEC -> List.of(out);
      case B_ENC, THRESHOLD, R_MAG, B_MAG -> List.of(latents);
    };
  }

  /** A tensor as a backend has it. */
  Safetensors.Tensor plain(String name, Tensor tensor) {
    return new Safetensors.Tensor(
        name,
        DType.F32,
        shape(tensor),
        (first, chunk) -> {
          FloatBuffer floats = chunk.order(ByteOrder.nativeOrder()).asFloatBuffer();
          from.read(tensor, first, floats);
          WeightsReader.scale(floats, scale(tensor));
          NonFiniteException.check(name, floats);
        });
  }

  /** A matrix the other way round. */
  Safetensors.Tensor transposed(String name, Tensor tensor) {
    List<Long> shape = shape(tensor);
    return new Safetensors.Tensor(
        name,
        DType.F32,
        List.of(shape.get(1), shape.get(0)),
        (first, chunk) -> {
          FloatBuffer floats = chunk.asFloatBuffer();
          transpose(tensor, first, floats);
          NonFiniteException.check(name, floats);
        });
  }

  /**
   * A latents' bias for a format with another habit of subtracting {@code b_dec} from the input.
   *
   * @param sign 1 if the format subtracts it and the SAE does not, −1 the other way round; 0 if
   *     both do the same
   * @param gain the tensor whose exponential multiplies the change; for a gated latent's magnitude
   */
  Safetensors.Tensor shiftedBias(String name, Tensor bias, int sign, boolean gain) {
    if (sign == 0) {
      return plain(name, bias);
    }
    return new Safetensors.Tensor(
        name,
        DType.F32,
        shape(bias),
        (first, chunk) -> {
          FloatBuffer values = chunk.order(ByteOrder.nativeOrder()).asFloatBuffer();
          from.read(bias, first, values);
          FloatBuffer gains = DirectBuffers.floats(values.remaining());
          if (gain) {
            from.read(Tensor.R_MAG, first, gains);
          }
          int d = config.dIn();
          FloatBuffer decoder = DirectBuffers.floats(d);
          from.read(Tensor.B_DEC, 0, decoder);
          FloatBuffer row = DirectBuffers.floats(d);
          for (int j = 0; j < values.limit(); j++) {
            from.read(Tensor.W_ENC, (first + j) * d, row);
            double product = 0;
            for (int i = 0; i < d; i++) {
              product += (double) row.get(i) * decoder.get(i);
            }
            double factor = gain ? Math.exp(gains.get(j)) : 1;
            values.put(j, (float) (values.get(j) + sign * factor * product));
          }
          NonFiniteException.check(name, values);
        });
  }

  /** One number. */
  static Safetensors.Tensor scalar(String name, DType type, double value) {
    return new Safetensors.Tensor(
        name,
        type,
        List.of(),
        (first, chunk) -> {
          switch (type) {
            case F64 -> chunk.putDouble(0, value);
            case I32 -> chunk.putInt(0, (int) value);
            case F32 -> chunk.putFloat(0, (float) value);
            default -> throw new AssertionError(type);
          }
        });
  }

  /** Fills elements [first, …) of the transposed matrix. */
  private void transpose(Tensor tensor, long first, FloatBuffer into) {
    int width = shape(tensor).get(1).intValue();
    int f = shape(tensor).get(0).intValue();
    double scale = scale(tensor);
    long end = first + into.remaining();
    int block = WeightsReader.blockOfLatents(width, f);
    FloatBuffer latents = DirectBuffers.floats((long) block * width);
    for (int j0 = 0; j0 < f; j0 += block) {
      int count = Math.min(block, f - j0);
      latents.limit(count * width);
      from.read(tensor, (long) j0 * width, latents);
      for (long i = first / f; i <= (end - 1) / f; i++) {
        for (int j = 0; j < count; j++) {
          long at = i * f + j0 + j;
          if (at >= first && at < end) {
            into.put((int) (at - first), (float) (latents.get(j * width + (int) i) * scale));
          }
        }
      }
    }
  }
}
