package io.faithfulsae.internal;

import io.faithfulsae.internal.SaeFile.Stored;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.Finite;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * Reads weights from a file into a backend's SAE. A backend has both matrices latent-major; one
 * that is stored the other way is transposed here, in blocks of latents, so that no second copy of
 * it is in memory.
 */
final class WeightsReader {
  private static final int BLOCK_FLOATS = 4 << 20;
  private static final List<Tensor> BY_LATENT =
      List.of(
          Tensor.W_ENC, Tensor.W_DEC, Tensor.B_ENC, Tensor.THRESHOLD, Tensor.R_MAG, Tensor.B_MAG);

  private final SaeFile sae;
  private final TensorFile file;
  private final BackendSae into;
  private final Map<Tensor, Stored> toRead;

  private WeightsReader(SaeFile sae, TensorFile file, BackendSae into) {
    this.sae = sae;
    this.file = file;
    this.into = into;
    this.toRead = sae.toRead();
  }

  /**
   * Reads all weights.
   *
   * @throws SaeFormatException if one is not finite, or the file is damaged
   */
  static void read(SaeFile sae, BackendSae into) throws IOException {
    try (TensorFile file = sae.openWeights()) {
      WeightsReader reader = new WeightsReader(sae, file, into);
      reader.readLatents();
      reader.readDecoderBias();
      reader.readSkip();
    }
  }

  /** Latents that are handled at once. */
  static int blockOfLatents(int d, int f) {
    return Math.max(1, Math.min(f, BLOCK_FLOATS / d));
  }

  private int width(Tensor tensor) {
    return switch (tensor) {
      case W_ENC, W_SKIP -> into.shape().dIn();
      case W_DEC -> into.shape().dOut();
      default -> 1;
    };
  }

  private void readLatents() throws IOException {
    int f = into.dSae();
    int block = blockOfLatents(Math.max(width(Tensor.W_ENC), width(Tensor.W_DEC)), f);
    Map<Tensor, FloatBuffer> buffers = new EnumMap<>(Tensor.class);
    for (Tensor tensor : BY_LATENT) {
      if (toRead.containsKey(tensor)) {
        buffers.put(tensor, DirectBuffers.floats((long) block * width(tensor)));
      }
    }
    for (int j0 = 0; j0 < f; j0 += block) {
      int count = Math.min(block, f - j0);
      for (Map.Entry<Tensor, FloatBuffer> each : buffers.entrySet()) {
        each.getValue().limit(count * width(each.getKey()));
        readRows(each.getKey(), j0, count, each.getValue());
      }
      fold(buffers, count);
      for (Map.Entry<Tensor, FloatBuffer> each : buffers.entrySet()) {
        long first = (long) j0 * width(each.getKey());
        if (!sae.folding().isNone()) { // a product may be too large for a float
          requireFinite(each.getValue(), name(each.getKey()) + scaled(each.getKey()), first);
        }
        into.write(each.getKey(), first, each.getValue());
      }
    }
  }

  private String scaled(Tensor tensor) {
    return stored(tensor).transposed() ? ", scaled and transposed" : ", scaled";
  }

  private void fold(Map<Tensor, FloatBuffer> buffers, int count) {
    SaeFile.Folding folding = sae.folding();
    buffers.forEach(
        (tensor, values) -> {
          switch (tensor) {
            case W_ENC -> scale(values, folding.activations());
            case W_DEC -> scale(values, 1 / folding.activations());
            case B_ENC, THRESHOLD, B_MAG -> scale(values, folding.biases());
            default -> {} // a logarithm
          }
        });
    if (folding.decoderNorm()) {
      foldDecoderNorm(buffers, count);
    }
  }

  private void readDecoderBias() throws IOException {
    if (toRead.containsKey(Tensor.B_DEC)) {
      FloatBuffer bias = DirectBuffers.floats(into.shape().dOut());
      String name = name(Tensor.B_DEC);
      file.tensor(name).readVector(0, bias);
      requireFinite(bias, name, 0);
      scale(bias, sae.folding().biases() / sae.folding().activations());
      requireFinite(bias, name + ", scaled", 0);
      into.write(Tensor.B_DEC, 0, bias);
    }
  }

  private void readSkip() throws IOException {
    if (toRead.containsKey(Tensor.W_SKIP)) {
      int rows = into.shape().dOut();
      int d = width(Tensor.W_SKIP);
      int block = blockOfLatents(d, rows);
      FloatBuffer values = DirectBuffers.floats((long) block * d);
      for (int i0 = 0; i0 < rows; i0 += block) {
        int count = Math.min(block, rows - i0);
        values.limit(count * d);
        readRows(Tensor.W_SKIP, i0, count, values);
        into.write(Tensor.W_SKIP, (long) i0 * d, values);
      }
    }
  }

  /** Reads rows as a backend has them, or elements of a vector. */
  private void readRows(Tensor tensor, int first, int count, FloatBuffer rows) throws IOException {
    Stored stored = stored(tensor);
    StoredTensor source = file.tensor(stored.name());
    if (source.shape().size() < 2) {
      source.readVector(first, rows);
      requireFinite(rows, stored.name(), first);
      return;
    }
    source.readRows(stored.transposed() ? 1 : 0, first, count, rows);
    int at = Finite.firstOther(rows);
    if (at >= 0) {
      int width = width(tensor);
      long row = (long) first + at / width;
      long column = at % width;
      long otherWidth = source.shape().get(1);
      throw notFinite(
          stored.name(),
          rows.get(at),
          stored.transposed() ? column * otherWidth + row : row * width + column);
    }
  }

  private Stored stored(Tensor tensor) {
    return Objects.requireNonNull(toRead.get(tensor));
  }

  private String name(Tensor tensor) {
    return stored(tensor).name();
  }

  /** A latent with NaN weights would silently never fire. */
  private void requireFinite(FloatBuffer values, String name, long first)
      throws SaeFormatException {
    int at = Finite.firstOther(values);
    if (at >= 0) {
      throw notFinite(name, values.get(at), first + at);
    }
  }

  private SaeFormatException notFinite(String name, float value, long element) {
    return new SaeFormatException(
        sae.weights(),
        name,
        Expected.message(
            "finite weights",
            value + " in element " + element + " (from 0, row-major)",
            "train again, or fetch the file again"));
  }

  /**
   * Normalizes decoder rows and multiplies the encoder, its biases and thresholds by their norms;
   * with a row of zeros the latent never fires.
   */
  private void foldDecoderNorm(Map<Tensor, FloatBuffer> buffers, int count) {
    FloatBuffer decoder = Objects.requireNonNull(buffers.get(Tensor.W_DEC));
    int width = width(Tensor.W_DEC);
    for (int j = 0; j < count; j++) {
      double squares = 0;
      for (int i = 0; i < width; i++) {
        squares += (double) decoder.get(j * width + i) * decoder.get(j * width + i);
      }
      double norm = Math.sqrt(squares);
      for (Map.Entry<Tensor, FloatBuffer> each : buffers.entrySet()) {
        int own = width(each.getKey());
        switch (each.getKey()) {
          case W_ENC, B_ENC, THRESHOLD, B_MAG -> scale(each.getValue().slice(j * own, own), norm);
          default -> {} // the decoder, and a logarithm
        }
      }
      if (norm > 0) {
        scale(decoder.slice(j * width, width), 1 / norm);
      }
    }
  }

  /** Multiplies what remains of a buffer. */
  static void scale(FloatBuffer values, double factor) {
    if (factor != 1) {
      for (int i = values.position(); i < values.limit(); i++) {
        values.put(i, (float) (values.get(i) * factor));
      }
    }
  }
}
