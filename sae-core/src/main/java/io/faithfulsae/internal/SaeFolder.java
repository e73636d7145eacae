package io.faithfulsae.internal;

import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.DirectBuffers;
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

/**
 * An SAE on disk: reads any known layout, writes SAELens' format. There {@code W_enc} is {@code
 * [d_in, d_sae]}, a backend's is {@code [d_sae, d_in]}: it is transposed in blocks, so that no
 * second copy of the matrix is in memory.
 */
public final class SaeFolder {
  /** Name of the configuration file. */
  public static final String CONFIG_FILE = "cfg.json";

  /** Name of the weights file. */
  public static final String WEIGHTS_FILE = "sae_weights.safetensors";

  private final SaeFile file;

  private SaeFolder(SaeFile file) {
    this.file = file;
  }

  /**
   * Reads the configuration of an SAE in any layout that {@link SaeLayouts} knows, and compares it
   * with the header of the weights.
   *
   * @throws SaeFormatException if they do not match, or it is no SAE that can be read
   */
  public static SaeFolder open(Path path) throws IOException {
    return new SaeFolder(SaeLayouts.open(path).checked());
  }

  /** The configuration, after what {@link #readWeights} folds into the weights. */
  public SaeConfig config() {
    return file.config();
  }

  /** The metadata; values that are not strings as JSON. */
  public Map<String, String> metadata() {
    return file.metadata();
  }

  /**
   * Reads the weights into an SAE of this configuration.
   *
   * @throws SaeFormatException if one is not finite, or the file is damaged
   */
  public void readWeights(BackendSae into) throws IOException {
    WeightsReader.read(file, into);
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
          WeightsReader.scale(floats, scale);
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
    int block = WeightsReader.blockOfLatents(d, f);
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
}
