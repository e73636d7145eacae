package io.faithfulsae.internal;

import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.Finite;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.FloatBuffer;

/**
 * Reads weights from a file into a backend's SAE. A backend has both matrices latent-major; one
 * that is stored the other way is transposed here, in blocks of latents, so that no second copy of
 * it is in memory.
 */
final class WeightsReader {
  private static final int BLOCK_FLOATS = 4 << 20;

  private final SaeFile sae;
  private final TensorFile file;
  private final BackendSae into;
  private final int d;

  private WeightsReader(SaeFile sae, TensorFile file, BackendSae into) {
    this.sae = sae;
    this.file = file;
    this.into = into;
    this.d = into.dIn();
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
    }
  }

  /** Latents that are handled at once. */
  static int blockOfLatents(int d, int f) {
    return Math.max(1, Math.min(f, BLOCK_FLOATS / d));
  }

  private void readLatents() throws IOException {
    int f = into.dSae();
    int block = blockOfLatents(d, f);
    SaeFile.Names names = sae.names();
    SaeFile.Folding folding = sae.folding();
    FloatBuffer encoder = DirectBuffers.floats((long) block * d);
    FloatBuffer decoder = DirectBuffers.floats((long) block * d);
    FloatBuffer bias = DirectBuffers.floats(block);
    for (int j0 = 0; j0 < f; j0 += block) {
      int count = Math.min(block, f - j0);
      bias.limit(count);
      encoder.limit(count * d);
      decoder.limit(count * d);
      readRows(names.encoder(), names.encoderByLatent(), j0, count, encoder);
      readRows(names.decoder(), names.decoderByLatent(), j0, count, decoder);
      readVector(names.encoderBias(), j0, bias);
      scale(encoder, folding.activations());
      scale(decoder, 1 / folding.activations());
      scale(bias, folding.biases());
      if (folding.decoderNorm()) {
        foldDecoderNorm(encoder, decoder, bias, count);
      }
      if (!folding.isNone()) { // a product may be too large for a float
        requireFinite(encoder, names.encoder() + ", scaled and transposed", (long) j0 * d);
        requireFinite(decoder, names.decoder() + ", scaled", (long) j0 * d);
        requireFinite(bias, names.encoderBias() + ", scaled", j0);
      }
      into.write(Tensor.W_ENC, (long) j0 * d, encoder);
      into.write(Tensor.W_DEC, (long) j0 * d, decoder);
      into.write(Tensor.B_ENC, j0, bias);
    }
  }

  private void readDecoderBias() throws IOException {
    FloatBuffer bias = DirectBuffers.floats(d);
    String name = sae.names().decoderBias();
    readVector(name, 0, bias);
    scale(bias, sae.folding().biases() / sae.folding().activations());
    requireFinite(bias, name + ", scaled", 0);
    into.write(Tensor.B_DEC, 0, bias);
  }

  /** {@code rows} receives the weights of {@code count} latents, {@code d_in} for each. */
  private void readRows(String name, boolean byLatent, int first, int count, FloatBuffer rows)
      throws IOException {
    file.tensor(name).readRows(byLatent ? 0 : 1, first, count, rows);
    int at = Finite.firstOther(rows);
    if (at >= 0) {
      long latent = (long) first + at / d;
      long input = at % d;
      throw notFinite(
          name, rows.get(at), byLatent ? latent * d + input : input * into.dSae() + latent);
    }
  }

  private void readVector(String name, long first, FloatBuffer values) throws IOException {
    file.tensor(name).readVector(first, values);
    requireFinite(values, name, first);
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
   * Normalizes decoder rows and multiplies the encoder by their norms; with a row of zeros the
   * latent never fires.
   */
  private void foldDecoderNorm(
      FloatBuffer encoder, FloatBuffer decoder, FloatBuffer bias, int count) {
    for (int j = 0; j < count; j++) {
      double squares = 0;
      for (int i = 0; i < d; i++) {
        squares += (double) decoder.get(j * d + i) * decoder.get(j * d + i);
      }
      double norm = Math.sqrt(squares);
      scale(encoder.slice(j * d, d), norm);
      scale(bias.slice(j, 1), norm);
      if (norm > 0) {
        scale(decoder.slice(j * d, d), 1 / norm);
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
