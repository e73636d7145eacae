package io.faithfulsae.internal;

import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.Checksum;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.Finite;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * An SAE on disk in SAELens format. Its {@code W_enc} is {@code [d_in, d_sae]}, a backend's is
 * {@code [d_sae, d_in]}: it is transposed here, in blocks, so that no second copy of the matrix is
 * in memory.
 */
public final class SaeFolder {
  /** Name of the configuration file. */
  public static final String CONFIG_FILE = "cfg.json";

  /** Name of the weights file. */
  public static final String WEIGHTS_FILE = "sae_weights.safetensors";

  private static final int BLOCK_FLOATS = 4 << 20;
  private static final Set<String> TENSORS = Set.of("W_enc", "b_enc", "W_dec", "b_dec");

  private final Path weights;
  private final SaeConfigFile file;

  private SaeFolder(Path weights, SaeConfigFile file) {
    this.weights = weights;
    this.file = file;
  }

  /**
   * Reads the configuration of a folder, and compares it with the header of the weights.
   *
   * @throws SaeFormatException if they do not match
   */
  public static SaeFolder open(Path dir) throws IOException {
    SaeFolder folder = new SaeFolder(dir.resolve(WEIGHTS_FILE), SaeConfigFile.read(dir));
    try (Safetensors tensors = Safetensors.open(folder.weights)) {
      folder.check(tensors);
    }
    return folder;
  }

  /** The configuration, after what {@link #readWeights} folds into the weights. */
  public SaeConfig config() {
    return file.config();
  }

  /** The metadata; values that are not strings as JSON. */
  public Map<String, String> metadata() {
    return file.metadata();
  }

  private void check(Safetensors tensors) throws IOException {
    long d = file.config().dIn();
    long f = file.config().dSae();
    for (String name : tensors.entries().keySet()) {
      if (!TENSORS.contains(name) && !isUnitScalingFactor(tensors, name)) {
        throw new SaeFormatException(
            weights,
            name,
            Expected.message("the tensors " + TENSORS + " only", "another one", "remove it"));
      }
    }
    checkShape(tensors, "W_enc", d, f);
    checkShape(tensors, "W_dec", f, d);
    checkShape(tensors, "b_enc", f);
    checkShape(tensors, "b_dec", d);
  }

  /**
   * Reads the weights into an SAE of this configuration.
   *
   * @throws SaeFormatException if one is not finite, or the file is damaged
   */
  public void readWeights(BackendSae into) throws IOException {
    try (Safetensors tensors = Safetensors.open(weights)) {
      if (file.weightsChecksum() != null) {
        Checksum.check(weights, file.weightsChecksum(), CONFIG_FILE);
      }
      readLatents(tensors, into);
      FloatBuffer bias = DirectBuffers.floats(file.config().dIn());
      readFinite(tensors, "b_dec", 0, bias);
      scale(bias, 1 / file.activationScale());
      requireFinite(bias, "b_dec, scaled", 0);
      into.write(Tensor.B_DEC, 0, bias);
    }
  }

  private void readFinite(Safetensors tensors, String name, long first, FloatBuffer into)
      throws IOException {
    tensors.readFloats(name, first, into);
    requireFinite(into, name, first);
  }

  /** A latent with NaN weights would silently never fire. */
  private void requireFinite(FloatBuffer values, String name, long first) throws IOException {
    int at = Finite.firstOther(values);
    if (at >= 0) {
      throw new SaeFormatException(
          weights,
          name,
          Expected.message(
              "finite weights",
              values.get(values.position() + at)
                  + " in element "
                  + (first + at)
                  + " (from 0, row-major)",
              "train again, or fetch the file again"));
    }
  }

  /**
   * Writes a folder; each file to a temporary file that is renamed, the configuration last.
   *
   * @throws NonFiniteException if a weight is NaN or infinite; the folder is left unchanged
   */
  public static void write(
      Path dir, SaeConfig config, Map<String, String> metadata, BackendSae from)
      throws IOException {
    write(dir, config, metadata, from, 1);
  }

  /**
   * Writes an SAE that was trained on activations times {@code activationScale}. The factor is
   * folded into the weights, so that the saved SAE takes unscaled activations.
   *
   * @throws NonFiniteException if a weight is NaN or infinite; the folder is left unchanged
   */
  public static void write(
      Path dir,
      SaeConfig config,
      Map<String, String> metadata,
      BackendSae from,
      double activationScale)
      throws IOException {
    long d = config.dIn();
    long f = config.dSae();
    String checksum =
        Safetensors.write(
            dir.resolve(WEIGHTS_FILE),
            Map.of(),
            List.of(
                new Safetensors.Tensor(
                    "W_enc",
                    DType.F32,
                    List.of(d, f),
                    (first, chunk) -> {
                      FloatBuffer floats = chunk.asFloatBuffer();
                      transposeEncoder(from, first, floats, activationScale);
                      NonFiniteException.check("W_enc", floats);
                    }),
                tensor("b_enc", Tensor.B_ENC, from, 1, f),
                tensor("W_dec", Tensor.W_DEC, from, 1 / activationScale, f, d),
                tensor("b_dec", Tensor.B_DEC, from, 1 / activationScale, d)));
    SaeConfigFile.write(dir, config, metadata, checksum);
  }

  private static Safetensors.Tensor tensor(
      String name, Tensor tensor, BackendSae from, double scale, Long... shape) {
    return new Safetensors.Tensor(
        name,
        DType.F32,
        List.of(shape),
        (first, chunk) -> {
          FloatBuffer floats = chunk.order(ByteOrder.nativeOrder()).asFloatBuffer();
          from.read(tensor, first, floats);
          scale(floats, scale);
          NonFiniteException.check(name, floats);
        });
  }

  /**
   * Fills elements [first, …) of the {@code [d_in, d_sae]} matrix from the backend's {@code [d_sae,
   * d_in]}.
   */
  private static void transposeEncoder(
      BackendSae from, long first, FloatBuffer into, double scale) {
    int d = from.dIn();
    int f = from.dSae();
    long end = first + into.remaining();
    int block = blockOfLatents(d, f);
    FloatBuffer latents = DirectBuffers.floats((long) block * d);
    for (int j0 = 0; j0 < f; j0 += block) {
      int count = Math.min(block, f - j0);
      latents.limit(count * d);
      from.read(Tensor.W_ENC, (long) j0 * d, latents);
      for (long i = first / f; i <= (end - 1) / f; i++) {
        for (int j = 0; j < count; j++) {
          long at = i * f + j0 + j;
          if (at >= first && at < end) {
            into.put((int) (at - first), (float) (latents.get(j * d + (int) i) * scale));
          }
        }
      }
    }
  }

  private void readLatents(Safetensors tensors, BackendSae into) throws IOException {
    int d = into.dIn();
    int f = into.dSae();
    int block = blockOfLatents(d, f);
    double scale = file.activationScale();
    FloatBuffer encoder = DirectBuffers.floats((long) block * d);
    FloatBuffer decoder = DirectBuffers.floats((long) block * d);
    FloatBuffer bias = DirectBuffers.floats(block);
    FloatBuffer slice = DirectBuffers.floats(block);
    for (int j0 = 0; j0 < f; j0 += block) {
      int count = Math.min(block, f - j0);
      slice.limit(count);
      bias.limit(count);
      encoder.limit(count * d);
      decoder.limit(count * d);
      for (int i = 0; i < d; i++) {
        readFinite(tensors, "W_enc", (long) i * f + j0, slice);
        for (int j = 0; j < count; j++) {
          encoder.put(j * d + i, slice.get(j));
        }
      }
      readFinite(tensors, "W_dec", (long) j0 * d, decoder);
      readFinite(tensors, "b_enc", j0, bias);
      scale(encoder, scale);
      scale(decoder, 1 / scale);
      if (file.foldDecoderNorm()) {
        foldDecoderNorm(encoder, decoder, bias, count, d);
      }
      if (scale != 1 || file.foldDecoderNorm()) { // a product may be too large for a float
        requireFinite(encoder, "W_enc, scaled and transposed", (long) j0 * d);
        requireFinite(decoder, "W_dec, scaled", (long) j0 * d);
        requireFinite(bias, "b_enc, scaled", j0);
      }
      into.write(Tensor.W_ENC, (long) j0 * d, encoder);
      into.write(Tensor.W_DEC, (long) j0 * d, decoder);
      into.write(Tensor.B_ENC, j0, bias);
    }
  }

  /**
   * Normalizes decoder rows and multiplies the encoder by their norms; with a row of zeros the
   * latent never fires.
   */
  private static void foldDecoderNorm(
      FloatBuffer encoder, FloatBuffer decoder, FloatBuffer bias, int count, int d) {
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

  /** Older SAELens files may hold a factor that was never trained. */
  private boolean isUnitScalingFactor(Safetensors tensors, String name) throws IOException {
    if (!name.equals("scaling_factor")) {
      return false;
    }
    FloatBuffer factor = FloatBuffer.allocate(Math.toIntExact(tensors.entry(name).elements()));
    tensors.readFloats(name, 0, factor);
    while (factor.hasRemaining()) {
      if (Math.abs(factor.get() - 1) > 1e-5) {
        return false;
      }
    }
    return true;
  }

  private void checkShape(Safetensors tensors, String name, Long... shape) throws IOException {
    List<Long> actual = tensors.entry(name).shape();
    if (!actual.equals(List.of(shape))) {
      throw new SaeFormatException(
          weights,
          name,
          Expected.message(
              "shape " + List.of(shape) + " from " + CONFIG_FILE,
              actual,
              "the files do not belong together"));
    }
  }

  private static int blockOfLatents(int d, int f) {
    return Math.max(1, Math.min(f, BLOCK_FLOATS / d));
  }

  private static void scale(FloatBuffer values, double factor) {
    if (factor != 1) {
      for (int i = values.position(); i < values.limit(); i++) {
        values.put(i, (float) (values.get(i) * factor));
      }
    }
  }
}
