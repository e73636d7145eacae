package io.faithfulsae.models;

import io.faithfulsae.DeviceActivations;
import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.Sae;
import io.faithfulsae.io.Expected;
import io.faithfulsae.models.WholeSequences.Batch;
import io.faithfulsae.models.WholeSequences.Output;
import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.OnnxSession;
import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.Architecture.Dimensions;
import io.faithfulsae.models.spi.Graph;
import io.faithfulsae.models.spi.Graph.Precision;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.ToIntFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A language model in a Hugging Face folder ({@code config.json}, safetensors), run by ONNX
 * Runtime.
 *
 * <p>Graphs are built in memory when first needed, one for each part of the model that is
 * requested: the residual stream entering block L runs blocks 0 to L-1, {@link #logitsFrom} runs
 * blocks from L on. Weights are read directly from the safetensors files; nothing is written.
 *
 * <p><b>Memory</b>: graphs for whole sequences use the weights directly from the mapped files, one
 * copy for all graphs; each matrix of a 16-bit checkpoint is widened to float32 just before its
 * product, in memory that the next one reuses. Decoding keeps all weights in the layout that ONNX
 * Runtime's kernels prefer, 4 bytes per parameter ({@code docs/model-families.md} has
 * measurements). Whole sequences need {@code 4 * batch * heads * length * length} bytes for
 * attention. Direct buffers in native order are used in place; others are copied.
 *
 * <p><b>Files</b> must not be shortened or written to while the model is open. Their sizes are
 * checked before each run, but one that shrinks during a run ends the process, as for any program
 * that maps files; {@link Options#mapped} avoids that. Deleting or replacing (renaming over) them
 * is safe.
 *
 * <p><b>Network</b>: none; ONNX Runtime's telemetry is turned off before it initializes. If the
 * host program has initialized it earlier, events about the runtime itself continue, unless the
 * program's environment has {@code ORT_DISABLE_TELEMETRY=1}.
 *
 * <p>Over 400 lines: one short method for each of a model's, and what they say to a user.
 */
public final class OnnxModel implements LanguageModel {
  private static final String LOGITS = "logits";

  private final Path folder;
  private final String name;
  private final Dimensions dimensions;
  private final SpecialTokens special;
  private final ModelSessions sessions;
  private final List<HookPoint> hookPoints;
  private final ToIntFunction<HookPoint> width;
  private final TokenIds tokenIds;
  private final WholeSequences wholeSequences;
  private final @Nullable Backend sharedBackend;
  private final TappedRows.Spare spare = new TappedRows.Spare();
  private final ReentrantReadWriteLock life =
      new ReentrantReadWriteLock(); // only close() takes the write lock
  private @Nullable Tokenizer tokenizer; // opened when first needed
  private boolean closed;

  /**
   * How a model is run.
   *
   * @param threads for ONNX Runtime, at least 1
   * @param precision of products and the residual stream; weights stay as stored in the files,
   *     activations and logits are returned as float32
   * @param mapped whether weights are read where they lie in mapped files; if not, each is copied
   *     to memory when it is first needed, and the files may then change. On the CPU only
   */
  public record Options(int threads, Precision precision, boolean mapped) {
    /** Computes in float32, with mapped weights. */
    public Options(int threads) {
      this(threads, Precision.FLOAT32);
    }

    /** With mapped weights. */
    public Options(int threads, Precision precision) {
      this(threads, precision, true);
    }

    /** Checks the options. */
    public Options {
      Expected.atLeast("threads", threads, 1, "use one thread");
    }

    /** One thread per processor. */
    public static Options defaults() {
      return new Options(Runtime.getRuntime().availableProcessors());
    }
  }

  /**
   * @param folder has the tokenizer
   * @param sessions closed with this
   */
  OnnxModel(
      Path folder,
      String name,
      Architecture architecture,
      SpecialTokens special,
      ModelSessions sessions,
      @Nullable Backend backend) {
    this.folder = folder;
    this.name = name;
    this.dimensions = architecture.dimensions();
    this.special = special;
    this.sessions = sessions;
    this.sharedBackend = backend;
    this.tokenIds =
        new TokenIds(dimensions.vocabularySize(), dimensions.contextLength(), special.eos());
    this.width = hook -> architecture.width(hook.site());
    this.wholeSequences = new WholeSequences(dimensions, width);
    this.hookPoints =
        IntStream.range(0, dimensions.layers())
            .boxed()
            .flatMap(layer -> hooksOf(architecture, layer))
            .toList();
  }

  private static Stream<HookPoint> hooksOf(Architecture architecture, int layer) {
    return architecture.sites().stream()
        .filter(site -> layer == 0 || !site.equals(Graph.EMBED))
        .map(site -> new HookPoint(layer, site));
  }

  /** Opens a model folder with {@link Options#defaults()}. */
  public static OnnxModel open(Path folder) throws IOException {
    return open(folder, Options.defaults());
  }

  /**
   * Opens a model folder.
   *
   * @throws NoSuchFileException if the folder, {@code config.json} or a safetensors file is missing
   * @throws io.faithfulsae.io.SaeFormatException if a file is truncated or damaged, a tensor is
   *     missing or has the wrong shape, or the model's family or one of its options is not
   *     supported
   */
  public static OnnxModel open(Path folder, Options options) throws IOException {
    return open(folder, options, null);
  }

  /**
   * Opens a model folder on a backend's device, in the backend's memory: activations go to the
   * backend without a detour through the host. On a GPU, models compute in 16 bits.
   *
   * @param backend the backend, which must stay open until the model is closed; null for the CPU
   * @throws io.faithfulsae.spi.BackendUnavailableException with every runtime's reason, if none can
   *     run models there
   */
  public static OnnxModel open(Path folder, Options options, @Nullable Backend backend)
      throws IOException {
    return ModelFolder.open(folder, options, backend);
  }

  /**
   * Opens a decoder that another program wrote as an ONNX file, to read activations from any of its
   * tensors.
   *
   * @param file must have its external data in the same folder, and a {@code config.json} with the
   *     special tokens and the vocabulary size, as Optimum writes it
   */
  public static OnnxFile of(Path file) throws IOException {
    return OnnxFile.open(file, Options.defaults());
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public int dModel() {
    return dimensions.dModel();
  }

  @Override
  public int vocabularySize() {
    return dimensions.vocabularySize();
  }

  @Override
  public int contextLength() {
    return dimensions.contextLength();
  }

  @Override
  public int bosToken() {
    return special.bos();
  }

  @Override
  public int eosToken() {
    return special.eos();
  }

  @Override
  public List<HookPoint> hookPoints() {
    return hookPoints;
  }

  /**
   * The tokenizer in the model's folder, opened at the first call. <b>Closed by</b> this model.
   *
   * @throws NoSuchFileException if the folder has no {@code tokenizer.json}
   * @throws io.faithfulsae.io.SaeFormatException as {@link Tokenizer#open} does
   */
  public synchronized Tokenizer tokenizer() throws IOException {
    checkOpen();
    Tokenizer own = tokenizer;
    if (own == null) {
      own = Tokenizer.open(folder);
      tokenizer = own;
    }
    return own;
  }

  /**
   * The tokens of a text, each with the latents that fire on it: runs the model on the text after
   * BOS, and the SAE on the activations at its hook point. {@link TokenLatents#of} does the same
   * for other models, and at other hook points.
   *
   * @param sae trained on this model; its metadata name the hook point
   * @param text at least one token long, and with BOS at most {@link #contextLength()}
   * @return one for each token, without BOS; latents strongest first
   * @throws IOException if the folder has no {@link #tokenizer() tokenizer} that can be read
   * @throws IllegalArgumentException if the text is empty or too long, or the SAE is of another
   *     width
   * @throws IllegalStateException if the SAE does not say where it belongs; see {@link
   *     Sae#hookPoint}
   */
  public List<TokenLatents> explain(Sae sae, String text) throws IOException {
    return TokenLatents.of(sae, this, tokenizer(), text);
  }

  @Override
  public int width(HookPoint hook) {
    hook.requireIn(this);
    return width.applyAsInt(hook);
  }

  @Override
  public synchronized void activations(HookPoint hook, int[][] tokens, FloatBuffer into) {
    activations(List.of(hook), tokens, List.of(into));
  }

  @Override
  public synchronized void activations(
      List<HookPoint> hooks, int[][] tokens, List<FloatBuffer> into) {
    activations(hooks, tokens, List.of(), into);
  }

  /**
   * As {@link #activations(List, int[][], List)}, with interventions at every position. At a hook
   * point with an intervention, the activations are those after it.
   *
   * @throws IllegalArgumentException as there, and as {@link Intervention} says
   */
  public synchronized void activations(
      List<HookPoint> hooks,
      int[][] tokens,
      List<Intervention> interventions,
      List<FloatBuffer> into) {
    checkOpen();
    hooks.forEach(hook -> hook.requireIn(this));
    Interventions changes = Interventions.of(interventions, this);
    Batch batch = tokenIds.fill(tokens);
    List<Output> outputs = new ArrayList<>();
    for (int i = 0; i < hooks.size(); i++) {
      outputs.add(new Output(Graphs.activations(i), width(hooks.get(i)), into.get(i)));
    }
    wholeSequences.run(sessions.tap(hooks, changes), batch, Map.of(), changes, outputs);
    for (int i = 0; i < hooks.size(); i++) {
      int columns = width(hooks.get(i));
      FloatRows.clearPadding(tokens, batch.length(), columns, into.get(i));
      FiniteOutput.require(name, hooks.get(i) + " activations", into.get(i), batch, columns);
    }
  }

  @Override
  public boolean sharesDeviceWith(Backend backend) {
    return sessions.onDevice() && sharedBackend == backend;
  }

  @Override
  public synchronized Optional<DeviceActivations> deviceActivations(
      HookPoint hook, int[][] tokens) {
    checkOpen();
    hook.requireIn(this);
    Backend backend = sharedBackend;
    if (backend == null || !sharesDeviceWith(backend)) {
      return Optional.empty();
    }
    Batch batch = tokenIds.fill(tokens);
    OnnxSession tap = sessions.tapWithNorms(hook);
    int columns = width(hook);
    TappedRows tapped =
        TappedRows.of(this, backend, sessions.gather(columns), spare, batch.rows(), columns);
    boolean done = false;
    try {
      try (Binding binding = tap.bind()) {
        wholeSequences.bind(binding, tap, batch);
        tapped.bindTo(binding);
        binding.run();
      }
      tapped.requireFinite(name, hook, tokens, batch.length());
      done = true;
      return Optional.of(tapped);
    } finally {
      if (!done) {
        tapped.close();
      }
    }
  }

  @Override
  public synchronized void logits(int[][] tokens, FloatBuffer into) {
    logits(tokens, Map.of(), into);
  }

  @Override
  public synchronized void logits(
      int[][] tokens, Map<HookPoint, FloatBuffer> replaced, FloatBuffer into) {
    checkOpen();
    replaced.keySet().forEach(hook -> hook.requireIn(this));
    Batch batch = tokenIds.fill(tokens);
    computeLogits(logitsSession(replaced), batch, replaced, Interventions.NONE, into);
    finish(tokens, batch, into);
  }

  /**
   * Computes next-token logits with interventions at every position.
   *
   * @param interventions with none, these are {@link #logits(int[][], FloatBuffer)}
   * @param into <b>Shape</b> {@code [batch, length, vocabularySize]}. Modified.
   * @throws IllegalArgumentException as there, and as {@link Intervention} says
   */
  public synchronized void logits(
      int[][] tokens, List<Intervention> interventions, FloatBuffer into) {
    checkOpen();
    Interventions changes = Interventions.of(interventions, this);
    Batch batch = tokenIds.fill(tokens);
    computeLogits(sessions.logits(List.of(), changes), batch, Map.of(), changes, into);
    finish(tokens, batch, into);
  }

  private void finish(int[][] tokens, Batch batch, FloatBuffer logits) {
    FloatRows.clearPadding(tokens, batch.length(), vocabularySize(), logits);
    FiniteOutput.require(name, LOGITS, logits, batch, vocabularySize());
  }

  private OnnxSession logitsSession(Map<HookPoint, FloatBuffer> replaced) {
    List<HookPoint> hooks = hookPoints.stream().filter(replaced::containsKey).toList();
    return sessions.logits(hooks, Interventions.NONE);
  }

  private void computeLogits(
      OnnxSession session,
      Batch batch,
      Map<HookPoint, FloatBuffer> replaced,
      Interventions interventions,
      FloatBuffer into) {
    Output output = new Output(Graphs.LOGITS, vocabularySize(), into);
    wholeSequences.run(session, batch, replaced, interventions, List.of(output));
  }

  @Override
  public synchronized void logitsFrom(
      HookPoint hook, FloatBuffer activations, int batch, int length, FloatBuffer into) {
    checkOpen();
    hook.requireIn(this);
    tokenIds.checkLength(batch, length);
    Map<HookPoint, FloatBuffer> replaced = Map.of(hook, activations);
    OnnxSession session = logitsSession(replaced);
    if (session.inputs().contains(Graphs.TOKENS)) {
      throw new IllegalArgumentException(
          Expected.message(
              "a hook point that the whole residual stream passes through, such as "
                  + HookPoint.residPre(hook.layer()),
              hook + ", which the residual stream bypasses",
              "use logits(tokens, replaced, into)"));
    }
    Batch sequences = new Batch(batch, length, null);
    computeLogits(session, sequences, replaced, Interventions.NONE, into);
    FiniteOutput.require(name, LOGITS, into, sequences, vocabularySize());
  }

  /**
   * Starts decoding up to {@code rows} sequences, one token at a time, with a KV cache.
   *
   * @param rows maximum number of parallel sequences, at least 1
   * @param maxLength maximum tokens per sequence, at most {@link #contextLength()}
   * @return a decoder, to be closed before this model
   */
  public Decoder decoder(int rows, int maxLength) {
    return decoder(rows, maxLength, List.of());
  }

  /**
   * As {@link #decoder(int, int)}, with interventions in every row and at every step, unless they
   * are {@linkplain Decoder#intervene turned off}. The result for each token is that of {@link
   * #logits(int[][], List, FloatBuffer)} on the whole sequence.
   *
   * <p>The model keeps the weights of decoding, 4 bytes per parameter, until it is closed: once for
   * each set of hook points and kinds of intervention there. Other strengths, values, latents or
   * SAEs of the same kind use the same.
   *
   * @throws IllegalArgumentException as {@link Intervention} says
   */
  public synchronized Decoder decoder(int rows, int maxLength, List<Intervention> interventions) {
    checkOpen();
    tokenIds.checkLength(rows, maxLength);
    Interventions changes = Interventions.of(interventions, this);
    return new Decoder(this, sessions.step(changes), changes, rows, maxLength);
  }

  /** Whether the model runs in a backend's memory and offers a {@link #deviceDecoder}. */
  public boolean onDevice() {
    return sessions.onDevice() && sharedBackend != null;
  }

  /**
   * Starts sampling on the runtime's device: only tokens come back.
   *
   * @param rows maximum number of parallel sequences, at least 1
   * @param maxLength maximum tokens per sequence, at most {@link #contextLength()}
   * @param topP in (0, 1]: sample from the likeliest tokens that together have this probability; 1
   *     for all
   * @return a sampler, to be closed before this model
   * @throws IllegalStateException if the runtime computes on the host; use {@link #decoder} there
   */
  public DeviceDecoder deviceDecoder(int rows, int maxLength, double topP) {
    return deviceDecoder(rows, maxLength, topP, List.of());
  }

  /**
   * As {@link #deviceDecoder(int, int, double)}, with interventions as in {@link #decoder(int, int,
   * List)}. What they read is copied to a GPU before each step: little, except for an SAE whose
   * latents compete (TopK), of which it is the encoder.
   *
   * @throws IllegalArgumentException as {@link Intervention} says
   */
  public synchronized DeviceDecoder deviceDecoder(
      int rows, int maxLength, double topP, List<Intervention> interventions) {
    checkOpen();
    tokenIds.checkLength(rows, maxLength);
    Backend backend = sharedBackend;
    if (!sessions.onDevice() || backend == null) {
      throw new IllegalStateException(
          Expected.message(
              "a model opened with a backend, on a runtime that shares its memory",
              "one on the host",
              "open it with OnnxModel.open(folder, options, backend) and"
                  + " sae-models-iobinding, or use decoder(rows, maxLength)"));
    }
    Interventions changes = Interventions.of(interventions, this);
    return new DeviceDecoder(
        this,
        backend,
        sessions.samplingStep(topP, changes),
        changes,
        new DecodedSequences(this, rows, maxLength),
        new DeviceCache(dimensions, sessions.precision(), rows, maxLength));
  }

  Dimensions dimensions() {
    return dimensions;
  }

  void checkToken(int token, int row) {
    tokenIds.check(token, row);
  }

  /**
   * Runs work of decoders and device activations on this model's sessions, concurrently with other
   * such work, and keeps the model from closing in the meantime.
   */
  void whileOpen(Runnable work) {
    life.readLock().lock();
    try {
      checkOpen();
      sessions.check();
      work.run();
    } finally {
      life.readLock().unlock();
    }
  }

  private void checkOpen() {
    if (closed) {
      throw new IllegalStateException(name + " is closed");
    }
  }

  /** Waits for running work, then closes the sessions; close decoders first. */
  @Override
  public synchronized void close() {
    life.writeLock().lock();
    try {
      if (!closed) {
        closed = true;
        sessions.close();
        spare.close();
        if (tokenizer != null) {
          tokenizer.close();
        }
      }
    } finally {
      life.writeLock().unlock();
    }
  }
}
