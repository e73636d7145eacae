package io.faithfulsae;

import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.GroupMax;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.internal.RowNormalizer;
import io.faithfulsae.internal.SaeFolder;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.OutputLock;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.Selection;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.file.Path;
import java.util.BitSet;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A sparse autoencoder or transcoder whose parameters are stored by one {@link Backend}.
 *
 * <p>On disk it is a folder in SAELens format, {@code cfg.json} and {@code
 * sae_weights.safetensors}. <b>Closed by</b> whoever created or loaded it, before its backend.
 * <b>Threads</b>: may be used from any thread; the backend runs one call at a time. A batch or
 * latents may take part in one call at a time.
 *
 * <p>Over 400 lines: the main class of the API, with a contract for each operation.
 */
public final class Sae implements AutoCloseable {
  private final SaeConfig config;
  private final Map<String, String> metadata;
  private final Backend backend;
  private final BackendSae parameters;
  private final @Nullable Sae viewOf;
  private final @Nullable BitSet latentMask; // latents that may fire; null: all
  private @Nullable ActivationBatch normalized; // of the origin, guarded by it

  private Sae(
      SaeConfig config, Map<String, String> metadata, Backend backend, BackendSae parameters) {
    this.config = config;
    this.metadata = Collections.unmodifiableMap(new LinkedHashMap<>(metadata));
    this.backend = backend;
    this.parameters = parameters;
    this.viewOf = null;
    this.latentMask = null;
  }

  private Sae(Sae of, SaeConfig config, @Nullable BitSet latentMask) {
    this.config = config;
    this.metadata = of.metadata;
    this.backend = of.backend;
    this.parameters = of.parameters;
    this.viewOf = of.origin();
    this.latentMask = latentMask;
  }

  /** Creates an SAE whose parameters are all zero; write to {@link #parameters()} to set them. */
  public static Sae create(SaeConfig config, Backend on) {
    return create(config, Map.of(), on);
  }

  /**
   * Creates an SAE whose parameters are all zero.
   *
   * @param metadata stored with it, see {@link #metadata()}
   */
  public static Sae create(SaeConfig config, Map<String, String> metadata, Backend on) {
    Sae sae = new Sae(config, metadata, on, on.createSae(config.shape()));
    if (config.activation() instanceof BatchTopK batch && batch.threshold() != null) {
      try {
        sae.fill(Tensor.THRESHOLD, batch.threshold());
      } catch (RuntimeException e) {
        sae.close();
        throw e;
      }
    }
    return sae;
  }

  private void fill(Tensor tensor, float value) {
    FloatBuffer values = DirectBuffers.floats(config.shape().elements(tensor));
    while (values.hasRemaining()) {
      values.put(value);
    }
    parameters.write(tensor, 0, values.flip());
  }

  /**
   * Creates an SAE with the given directions as rows of both W_enc and W_dec, and zero biases. Use
   * it as the initial SAE to train only the encoder, with a fixed decoder ({@link
   * io.faithfulsae.training.SaeTrainer#withInitial} and {@link
   * io.faithfulsae.training.TrainingConfig.Builder#freezeDecoder}).
   *
   * @param directions <b>Shape</b> {@code [dSae, dIn]}. Not modified.
   * @throws IllegalArgumentException if they have another shape
   */
  public static Sae ofDirections(SaeConfig config, float[][] directions, Backend on) {
    FloatBuffer row = DirectBuffers.floats(config.dIn());
    Sae sae = create(config, on);
    try {
      for (int latent = 0; latent < Math.max(config.dSae(), directions.length); latent++) {
        if (directions.length != config.dSae() || directions[latent].length != config.dIn()) {
          throw new IllegalArgumentException(
              Expected.message(
                  "%d directions of width %d".formatted(config.dSae(), config.dIn()),
                  "%d and width %d in number %d"
                      .formatted(
                          directions.length,
                          latent < directions.length ? directions[latent].length : 0,
                          latent),
                  "use the shape of the config"));
        }
        row.put(0, directions[latent]);
        sae.parameters.write(Tensor.W_ENC, (long) latent * config.dIn(), row);
        sae.parameters.write(Tensor.W_DEC, (long) latent * config.dIn(), row);
      }
      return sae;
    } catch (RuntimeException e) {
      sae.close();
      throw e;
    }
  }

  /**
   * Loads an SAE that this library, SAELens (version 6 or older), sparsify, dictionary_learning,
   * BatchTopK, OpenAI's sparse_autoencoder, Gemma Scope or Llama Scope wrote; the files say which.
   * Nothing in a {@code .pt} file is executed. {@code docs/file-formats.md} says what is read of
   * each. Otherwise, a {@link SaeFormat} of another jar that recognizes them reads them.
   *
   * <p>{@code rescale_acts_by_decoder_norm} of SAELens is folded into the weights, as is the
   * scaling factor of {@code expected_average_only_in} if the folder has it.
   *
   * @param path the SAE's folder; or its {@code .pt} file; or a folder of the Hugging Face hub's
   *     cache ({@code models--ORG--NAME}) or a path in it, with or without {@code
   *     snapshots/REVISION}
   * @throws SaeFormatException if a file is damaged, or is of another architecture, or there are
   *     several SAEs; the message names it or them
   */
  public static Sae load(Path path, Backend on) throws IOException {
    SaeFolder folder = SaeFolder.open(path);
    Sae sae = create(folder.config(), folder.metadata(), on);
    try {
      folder.readWeights(sae.parameters);
      return sae;
    } catch (IOException | RuntimeException e) {
      sae.close();
      throw e;
    }
  }

  /** The shape, and how the input is treated. */
  public SaeConfig config() {
    return config;
  }

  /** The backend that stores the parameters. */
  public Backend backend() {
    return backend;
  }

  /**
   * Metadata, under SAELens' names: {@code model_name}, {@code hook_name}, {@code dataset_path},
   * {@code context_size}, and anything else in its file. Values that are not strings are given as
   * JSON.
   */
  public Map<String, String> metadata() {
    return metadata;
  }

  /**
   * The hook point whose activations it was trained on, as its metadata say.
   *
   * @throws IllegalStateException if they do not say
   */
  public HookPoint hookPoint() {
    String name = metadata.get("hook_name");
    if (name == null) {
      throw new IllegalStateException(
          Expected.message(
              "an SAE whose metadata name its hook point (hook_name)",
              metadata.keySet(),
              "pass the hook point yourself"));
    }
    return HookPoint.parse(name);
  }

  /**
   * The hook point that a transcoder writes, as its metadata say; null if it is the one that it
   * reads, or they do not say.
   */
  public @Nullable String targetHook() {
    return SaeInfo.targetHook(metadata);
  }

  /**
   * The parameters themselves, for reading and writing whole tensors. <b>Closed by</b> this SAE.
   */
  public BackendSae parameters() {
    return parameters;
  }

  /**
   * A view of this SAE with another k, for evaluating it with more or fewer latents per row than it
   * was trained with. The parameters are shared, not copied. It need not be closed: it is valid
   * until this SAE is closed, and closing it does not affect this SAE. A view of BatchTopK keeps
   * the k · rows largest of each batch: a threshold that training learned belongs to its own k.
   *
   * @throws IllegalArgumentException if k is not in [1, dSae], or does not divide dSae for GroupMax
   * @throws IllegalStateException if the activation has no k
   */
  public Sae withK(int k) {
    return new Sae(this, config.withK(k), latentMask);
  }

  /**
   * A view of this SAE that uses only the given latents, for measuring how much they contribute. A
   * row is encoded as by this SAE, then the values of all other latents are set to 0; no other
   * latents fire in their place. Parameters and lifetime are as for {@link #withK}; it cannot be
   * saved.
   *
   * @param latents indices of the latents to keep; on a view, only those that it already keeps
   * @throws IllegalArgumentException if one is not in [0, dSae)
   */
  public Sae only(Collection<Integer> latents) {
    BitSet kept = new BitSet(config.dSae());
    for (int latent : latents) {
      requireLatent(latent);
      kept.set(latent);
    }
    if (latentMask != null) {
      kept.and(latentMask);
    }
    return new Sae(this, config, kept);
  }

  /** The SAE that this is a view of, or itself. */
  public Sae origin() {
    return viewOf == null ? this : viewOf;
  }

  /**
   * Encodes rows with the SAE's own activation.
   *
   * @param x not modified
   * @return as many rows as {@code x}. <b>Closed by</b> the caller.
   * @throws IllegalArgumentException if {@code x} has no rows or another width, or contains NaN or
   *     infinity (the message names the row)
   */
  public Latents encode(ActivationBatch x) {
    requireRows(x);
    Latents latents = Latents.allocate(this, x.rows());
    try {
      encode(x, latents);
      return latents;
    } catch (RuntimeException e) {
      latents.close();
      throw e;
    }
  }

  /**
   * Encodes rows into latents that were allocated. If their rows have a k, it may differ from the
   * SAE's own.
   *
   * @param x not modified
   * @param into receives as many rows: of k if the SAE's activation gives each row k, otherwise
   *     ragged. Modified.
   * @throws IllegalArgumentException if {@code x} has no rows, the sizes do not match, or a row of
   *     {@code x} holds NaN or infinity (the message names it)
   */
  public void encode(ActivationBatch x, Latents into) {
    requireRows(x);
    checkWidth(x, config.dIn());
    Selection selection = selectionFor(into, x.rows());
    into.filled(0); // until they are encoded
    into.undo().reset();
    if (config.normalization() == Normalization.NONE) {
      run(selection, x.buffer(), x.rows(), into);
    } else {
      Sae origin = origin();
      synchronized (origin) { // until its scratch, which all views use, has been read
        run(selection, origin.normalize(x, into).buffer(), x.rows(), into);
      }
    }
    silence(into);
  }

  /** Most batches without rows were filled through data(), and encoding nothing would hide it. */
  private static void requireRows(ActivationBatch x) {
    if (x.rows() == 0) {
      throw new IllegalArgumentException(
          Expected.message(
              "a batch with rows to encode",
              "none of " + x.capacity(),
              "append rows with add(row), or call rows(n) after writing n rows to data()"));
    }
  }

  private Selection selectionFor(Latents into, int rows) {
    Selection own = config.activation().selection();
    boolean ragged = own.rule().isRagged();
    into.require(ragged, config.dSae(), rows, "allocate other sizes");
    return ragged ? own : new Selection(own.rule(), into.k());
  }

  private void run(Selection selection, DeviceBuffer x, int rows, Latents into) {
    long entries = parameters.encode(selection, x, rows, into.buffers());
    if (entries > into.buffers().room()) {
      into.grow(entries);
      parameters.encode(selection, x, rows, into.buffers());
    }
    backend.synchronize();
    into.filled(rows);
  }

  /**
   * Derives what {@link #encode(ActivationBatch, Latents)} would return from the {@link #origin}'s
   * latents of the same rows, without encoding them again: of TopK and AbsTopK the first k of each
   * row are the k largest. With another activation {@code whole} must have been encoded with this
   * SAE's own, including its k.
   *
   * @param whole encoded by the origin, with at least the k of {@code into}. Not modified.
   * @param into receives as many rows. Modified.
   * @throws IllegalArgumentException if the sizes do not match
   */
  public void select(Latents whole, Latents into) {
    if (config.activation() instanceof GroupMax && whole.k() != into.k()) {
      throw new IllegalArgumentException(
          Expected.message(
              "latents of one k, as groups depend on it",
              "k = " + whole.k() + " and " + into.k(),
              "encode again with the other k"));
    }
    whole.copyFirst(into);
    silence(into);
  }

  private void silence(Latents latents) {
    if (latentMask == null) {
      return;
    }
    try (DeviceBuffer.Loan lentIndices = latents.indexBuffer().lend();
        DeviceBuffer.Loan lentValues = latents.valueBuffer().lend()) {
      IntBuffer indices = lentIndices.ints();
      FloatBuffer values = lentValues.floats();
      int entries = latents.entries();
      for (int i = 0; i < entries; i++) {
        if (!latentMask.get(indices.get(i))) {
          values.put(i, 0);
        }
      }
    }
  }

  /**
   * Decodes latents. If the config normalizes rows, undoes the normalization of the rows they were
   * encoded from.
   *
   * @param latents not modified
   * @param into receives as many rows, of width {@code dOut}. Modified.
   * @throws IllegalArgumentException if the sizes do not match, an index is not in [0, dSae), or
   *     the SAE has a skip connection and needs the rows it encoded
   */
  public void decode(Latents latents, ActivationBatch into) {
    decode(latents, null, into);
  }

  /**
   * Decodes latents, and adds the skip connection's part if the SAE has one.
   *
   * @param x the rows they were encoded from; not used without a skip connection. Not modified.
   */
  public void decode(Latents latents, @Nullable ActivationBatch x, ActivationBatch into) {
    checkWidth(into, config.dOut());
    into.rows(latents.rows());
    if (latents.rows() == 0) {
      return;
    }
    parameters.decode(
        latents.buffers(),
        latents.rows(),
        config.skip() && x != null ? x.buffer() : null,
        into.buffer());
    backend.synchronize();
    if (!latents.undo().isIdentity()) {
      try (DeviceBuffer.Loan loan = into.buffer().lend()) {
        latents.undo().apply(loan.floats(), latents.rows(), config.dOut());
      }
    }
  }

  /** A copy of a latent's decoder direction, length {@code dOut}. */
  public float[] decoderDirection(int latent) {
    return direction(Tensor.W_DEC, latent, config.dOut());
  }

  /** A copy of a latent's encoder direction, length {@code dIn}. */
  public float[] encoderDirection(int latent) {
    return direction(Tensor.W_ENC, latent, config.dIn());
  }

  /**
   * Copies consecutive decoder directions, {@code dOut} values each.
   *
   * @param firstLatent the first latent to copy
   * @param into as many whole rows as its remaining space holds are written; its position does not
   *     change. Modified.
   */
  public void readDecoder(int firstLatent, FloatBuffer into) {
    readDirections(Tensor.W_DEC, firstLatent, config.dOut(), into);
  }

  /** Like {@link #readDecoder}, for encoder directions, {@code dIn} values each. */
  public void readEncoder(int firstLatent, FloatBuffer into) {
    readDirections(Tensor.W_ENC, firstLatent, config.dIn(), into);
  }

  /**
   * Saves it as a folder in SAELens format; each file is written to a temporary file and renamed,
   * {@code cfg.json} last. What SAELens has no architecture for (GroupMax, a TopK transcoder) is
   * saved in the same way under a name of its own, which {@link #load} reads and SAELens rejects.
   *
   * @throws IOException if a file cannot be written, or another writer has locked the folder
   * @throws IllegalStateException if it is a view with masked latents, or a weight is NaN or
   *     infinite; the folder is left unchanged
   */
  public void save(Path dir) throws IOException {
    save(dir, () -> SaeFolder.write(dir, config, metadata, parameters));
  }

  /**
   * Saves it as a folder that another library opens, with the same latents and outputs. A BatchTopK
   * with a threshold becomes SAELens' JumpReLU, as SAELens saves it, and is read as what it was.
   *
   * @param format one of {@link SaeFormats}, or of your own
   * @throws IllegalArgumentException if the format cannot express it; nothing is written
   * @throws IOException if a file cannot be written, another writer has locked the folder, or it
   *     has an SAE in another format
   * @throws IllegalStateException as for {@link #save(Path)}
   */
  public void save(Path dir, SaeFormat format) throws IOException {
    save(dir, () -> SaeFolder.write(dir, format, config, metadata, parameters));
  }

  private interface Writing {
    void run() throws IOException;
  }

  private void save(Path dir, Writing writing) throws IOException {
    if (latentMask != null) {
      throw new IllegalStateException(
          Expected.message(
              "an SAE with all its latents",
              "a view of " + latentMask.cardinality() + " of them",
              "save the SAE that it is a view of"));
    }
    OutputLock lock = OutputLock.ofFolder(dir);
    try {
      writing.run();
    } finally {
      lock.close();
    }
  }

  @Override
  public synchronized void close() {
    if (normalized != null) {
      normalized.close();
      normalized = null;
    }
    if (viewOf == null) {
      parameters.close();
    }
  }

  /** Normalizes rows into this origin's scratch, which it frees: a view may never be closed. */
  private ActivationBatch normalize(ActivationBatch x, Latents into) {
    ActivationBatch scratch = normalized;
    if (scratch == null || scratch.capacity() < x.rows()) {
      if (scratch != null) {
        scratch.close();
      }
      scratch = ActivationBatch.allocate(backend, x.rows(), config.dIn());
      normalized = scratch;
    }
    try (DeviceBuffer.Loan from = x.buffer().lend();
        DeviceBuffer.Loan to = scratch.buffer().lend()) {
      RowNormalizer.apply(
          config.normalization(), from.floats(), to.floats(), x.rows(), config.dIn(), into.undo());
    }
    return scratch;
  }

  private float[] direction(Tensor tensor, int latent, int width) {
    requireLatent(latent);
    float[] row = new float[width];
    readDirections(tensor, latent, width, FloatBuffer.wrap(row));
    return row;
  }

  private void requireLatent(int latent) {
    if (latent < 0 || latent >= config.dSae()) {
      throw new IllegalArgumentException(
          Expected.message(
              "a latent in [0, " + config.dSae() + ")", latent, "use a latent in that range"));
    }
  }

  private void readDirections(Tensor tensor, int firstLatent, int width, FloatBuffer into) {
    long first = (long) firstLatent * width;
    if (into.isDirect()) {
      parameters.read(tensor, first, into);
      return;
    }
    FloatBuffer direct = DirectBuffers.floats(into.remaining());
    parameters.read(tensor, first, direct);
    into.duplicate().put(direct);
  }

  private static void checkWidth(ActivationBatch batch, int width) {
    if (batch.dIn() != width) {
      throw new IllegalArgumentException(
          Expected.message(
              "rows of width " + width,
              batch.dIn(),
              "use activations of the hook that this SAE was trained on"));
    }
  }
}
