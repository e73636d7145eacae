package io.faithfulsae;

import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.internal.RowNormalizer;
import io.faithfulsae.internal.SaeFolder;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A TopK sparse autoencoder whose parameters live on one {@link Backend}.
 *
 * <p>On disk it is a folder in SAELens' layout, {@code cfg.json} and {@code
 * sae_weights.safetensors}. <b>Closed by</b> who created or loaded it, before its backend.
 * <b>Threads</b>: may be used from any thread, one call at a time.
 */
public final class Sae implements AutoCloseable {
  private final SaeConfig config;
  private final Map<String, String> metadata;
  private final Backend backend;
  private final BackendSae parameters;
  private @Nullable ActivationBatch normalized;

  private Sae(
      SaeConfig config, Map<String, String> metadata, Backend backend, BackendSae parameters) {
    this.config = config;
    this.metadata = Collections.unmodifiableMap(new LinkedHashMap<>(metadata));
    this.backend = backend;
    this.parameters = parameters;
  }

  /** Makes an SAE whose parameters are all zero; write to {@link #parameters()} to fill it. */
  public static Sae create(SaeConfig config, Backend on) {
    return create(config, Map.of(), on);
  }

  /**
   * Makes an SAE whose parameters are all zero.
   *
   * @param metadata what is to be kept with it, see {@link #metadata()}
   */
  public static Sae create(SaeConfig config, Map<String, String> metadata, Backend on) {
    return new Sae(
        config,
        metadata,
        on,
        on.createSae(config.dIn(), config.dSae(), config.subtractDecoderBias()));
  }

  /**
   * Loads a folder that this library or SAELens wrote (architecture {@code topk}, its version 6 or
   * older).
   *
   * <p>{@code rescale_acts_by_decoder_norm} is folded into the weights, and so is the scaling
   * factor of {@code expected_average_only_in} where the folder holds it.
   *
   * @throws SaeFormatException if a file is damaged or asks for something that cannot be honoured;
   *     the message names it
   */
  public static Sae load(Path dir, Backend on) throws IOException {
    SaeFolder folder = SaeFolder.open(dir);
    Sae sae = create(folder.config(), folder.metadata(), on);
    try {
      folder.readWeights(sae.parameters);
      return sae;
    } catch (IOException | RuntimeException e) {
      sae.close();
      throw e;
    }
  }

  /** Shape and treatment of the input. */
  public SaeConfig config() {
    return config;
  }

  /** Where the parameters live. */
  public Backend backend() {
    return backend;
  }

  /**
   * What is known about it, under SAELens' names: {@code model_name}, {@code hook_name}, {@code
   * dataset_path}, {@code context_size}, and whatever else its file says. Values that are not text
   * are in JSON.
   */
  public Map<String, String> metadata() {
    return metadata;
  }

  /**
   * The parameters themselves, for reading and writing whole tensors. <b>Closed by</b> this SAE.
   */
  public BackendSae parameters() {
    return parameters;
  }

  /**
   * Encodes rows with the SAE's own k.
   *
   * @param x not modified
   * @return as many rows. <b>Closed by</b> the caller.
   * @throws IllegalArgumentException if {@code x} has another width, or NaN or infinity in it (the
   *     message names the row)
   */
  public Latents encode(ActivationBatch x) {
    Latents latents = Latents.allocate(backend, Math.max(1, x.rows()), config.k());
    try {
      encode(x, latents);
      return latents;
    } catch (RuntimeException e) {
      latents.close();
      throw e;
    }
  }

  /**
   * Encodes rows with the k of {@code into}, which may differ from the SAE's own.
   *
   * @param x not modified
   * @param into holds as many rows afterwards. Modified.
   * @throws IllegalArgumentException if the sizes do not fit, or a row of {@code x} holds NaN or
   *     infinity (the message names it)
   */
  public synchronized void encode(ActivationBatch x, Latents into) {
    checkWidth(x);
    if (into.k() > config.dSae() || into.capacity() < x.rows()) {
      throw new IllegalArgumentException(
          "expected latents of k <= "
              + config.dSae()
              + " and room for "
              + x.rows()
              + " rows, got ["
              + into.capacity()
              + ", "
              + into.k()
              + "]; mend: allocate other sizes");
    }
    into.rows(x.rows());
    into.undo().reset();
    if (x.rows() == 0) {
      return;
    }
    ActivationBatch input = config.normalization() == Normalization.NONE ? x : normalize(x, into);
    parameters.encodeTopK(
        input.buffer(), x.rows(), into.k(), into.indexBuffer(), into.valueBuffer());
    backend.synchronize();
  }

  /**
   * Decodes latents. Where the config normalises rows, the normalisation of the rows they were
   * encoded from is undone.
   *
   * @param latents not modified
   * @param into holds as many rows afterwards. Modified.
   * @throws IllegalArgumentException if the sizes do not fit or an index is not a latent's
   */
  public synchronized void decode(Latents latents, ActivationBatch into) {
    checkWidth(into);
    into.rows(latents.rows());
    if (latents.rows() == 0) {
      return;
    }
    parameters.decode(
        latents.indexBuffer(), latents.valueBuffer(), latents.rows(), latents.k(), into.buffer());
    backend.synchronize();
    latents.undo().apply(into.data(), latents.rows(), config.dIn());
  }

  /** A copy of a latent's decoder direction, length {@code dIn}. */
  public float[] decoderDirection(int latent) {
    return direction(Tensor.W_DEC, latent);
  }

  /** A copy of a latent's encoder direction, length {@code dIn}. */
  public float[] encoderDirection(int latent) {
    return direction(Tensor.W_ENC, latent);
  }

  /**
   * Copies decoder directions, one row of {@code dIn} after the other.
   *
   * @param firstLatent the first latent to copy
   * @param into as many whole rows as remain are filled; its position is not changed. Modified.
   */
  public void readDecoder(int firstLatent, FloatBuffer into) {
    readDirections(Tensor.W_DEC, firstLatent, into);
  }

  /** Copies encoder directions, as {@link #readDecoder} does. */
  public void readEncoder(int firstLatent, FloatBuffer into) {
    readDirections(Tensor.W_ENC, firstLatent, into);
  }

  /**
   * Writes it as a folder in SAELens' layout; each file is written beside and renamed, {@code
   * cfg.json} last.
   *
   * @throws IOException if a file cannot be written
   */
  public void save(Path dir) throws IOException {
    SaeFolder.write(dir, config, metadata, parameters);
  }

  @Override
  public synchronized void close() {
    if (normalized != null) {
      normalized.close();
    }
    parameters.close();
  }

  private ActivationBatch normalize(ActivationBatch x, Latents into) {
    ActivationBatch scratch = normalized;
    if (scratch == null || scratch.capacity() < x.rows()) {
      if (scratch != null) {
        scratch.close();
      }
      scratch = ActivationBatch.allocate(backend, x.rows(), config.dIn());
      normalized = scratch;
    }
    RowNormalizer.apply(
        config.normalization(), x.data(), scratch.data(), x.rows(), config.dIn(), into.undo());
    return scratch;
  }

  private float[] direction(Tensor tensor, int latent) {
    if (latent < 0 || latent >= config.dSae()) {
      throw new IllegalArgumentException(
          "expected a latent in [0, "
              + config.dSae()
              + "), got "
              + latent
              + "; mend: give another number");
    }
    float[] row = new float[config.dIn()];
    readDirections(tensor, latent, FloatBuffer.wrap(row));
    return row;
  }

  private void readDirections(Tensor tensor, int firstLatent, FloatBuffer into) {
    long first = (long) firstLatent * config.dIn();
    if (into.isDirect()) {
      parameters.read(tensor, first, into);
      return;
    }
    FloatBuffer direct =
        ByteBuffer.allocateDirect(into.remaining() * Float.BYTES)
            .order(ByteOrder.nativeOrder())
            .asFloatBuffer();
    parameters.read(tensor, first, direct);
    into.duplicate().put(direct);
  }

  private void checkWidth(ActivationBatch batch) {
    if (batch.dIn() != config.dIn()) {
      throw new IllegalArgumentException(
          "expected rows of width "
              + config.dIn()
              + ", got "
              + batch.dIn()
              + "; mend: use activations of the hook that this SAE was trained on");
    }
  }
}
