package io.faithfulsae.models;

import io.faithfulsae.DeviceActivations;
import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.OnnxRuntime;
import io.faithfulsae.models.runtime.OnnxRuntime.Keeping;
import io.faithfulsae.models.runtime.OnnxSession;
import io.faithfulsae.models.runtime.Tensor;
import io.faithfulsae.models.runtime.internal.OnnxRuntimes;
import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.Architecture.Dimensions;
import io.faithfulsae.models.spi.Graph.Precision;
import io.faithfulsae.models.spi.ModelConfig;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.models.spi.Weights;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.stream.IntStream;
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
 * <p><b>Network</b>: none; ONNX Runtime's telemetry is turned off before it initializes. If the
 * host program has initialized it earlier, events about the runtime itself continue, unless the
 * program's environment has {@code ORT_DISABLE_TELEMETRY=1}.
 *
 * <p>Over 400 lines: one class owns the sessions and the lock under which each call uses them;
 * graphs, sessions, token checks and decoding are in {@code Graphs}, {@code Sessions}, {@code
 * TokenIds} and the decoders.
 */
public final class OnnxModel implements LanguageModel {
  private static final String LOGITS = "logits";

  private final String name;
  private final Architecture architecture;
  private final Weights weights;
  private final SpecialTokens special;
  private final Sessions sessions;
  private final Keeping ofLogits;
  private final List<HookPoint> hookPoints;
  private final TokenIds tokenIds;
  private LongBuffer positions = DirectBuffers.longs(0);
  private final LongBuffer lengths = DirectBuffers.longs(1);
  private final LongBuffer queryShape = DirectBuffers.longs(3);
  private final LongBuffer keyShape = DirectBuffers.longs(3);
  private final Graphs.Kind kind;
  private final @Nullable Backend sharedBackend;
  private final TappedRows.Spare spare = new TappedRows.Spare();
  private final ReentrantReadWriteLock life =
      new ReentrantReadWriteLock(); // only close() takes the write lock
  private boolean closed;

  /**
   * How a model is run.
   *
   * @param threads for ONNX Runtime, at least 1
   * @param precision of products and the residual stream; weights stay as stored in the files,
   *     activations and logits are returned as float32
   */
  public record Options(int threads, Precision precision) {
    /** Computes in float32. */
    public Options(int threads) {
      this(threads, Precision.FLOAT32);
    }

    /** Checks the options. */
    public Options {
      if (threads < 1) {
        throw new IllegalArgumentException(
            "expected threads >= 1, got " + threads + "; ask for one thread");
      }
    }

    /** One thread per processor. */
    public static Options defaults() {
      return new Options(Runtime.getRuntime().availableProcessors());
    }
  }

  private OnnxModel(
      String name,
      Architecture architecture,
      Weights weights,
      SpecialTokens special,
      Options options,
      @Nullable Backend backend) {
    this.name = name;
    this.architecture = architecture;
    this.weights = weights;
    this.special = special;
    this.sharedBackend = backend;
    OnnxRuntime runtime = OnnxRuntimes.open(backend);
    this.kind = new Graphs.Kind(options.precision(), runtime.computesOnDevice(), false);
    this.tokenIds =
        new TokenIds(
            architecture.dimensions().vocabularySize(),
            architecture.dimensions().contextLength(),
            special.eos());
    boolean mapped = options.precision() == Precision.FLOAT32;
    Keeping keeping = mapped ? Keeping.WORKSPACE : Keeping.WEIGHTS;
    this.sessions =
        new Sessions(runtime, new OnnxRuntime.Loading(weights.root(), options.threads(), keeping));
    // The widened unembedding is by far the largest matrix, and each of these graphs has one.
    this.ofLogits = mapped && !weights.allFloat32() ? Keeping.NOTHING : keeping;
    this.hookPoints =
        IntStream.range(0, architecture.dimensions().layers())
            .boxed()
            .flatMap(layer -> architecture.sites().stream().map(site -> new HookPoint(layer, site)))
            .toList();
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
    checkPrecision(options.precision(), backend);
    Path config = folder.resolve("config.json");
    if (!Files.exists(config)) {
      throw new NoSuchFileException(config.toString(), null, "name a Hugging Face model folder");
    }
    ModelConfig read = ModelConfig.read(config);
    ModelFamily family = family(read);
    Weights weights = Weights.open(folder);
    Architecture architecture = family.architecture(read, weights);
    // Reports a missing or misshapen tensor now, not at its first use.
    Graphs.logits(
        architecture, weights, Set.of(), new Graphs.Kind(options.precision(), false, false));
    SpecialTokens special = SpecialTokens.read(folder);
    special.checkAgainst(config, architecture.dimensions().vocabularySize());
    Path fileName = folder.toAbsolutePath().normalize().getFileName();
    return new OnnxModel(
        fileName == null ? family.modelType() : fileName.toString(),
        architecture,
        weights,
        special,
        options,
        backend);
  }

  /** ONNX Runtime supports bfloat16 only on GPUs, and attention on GPUs only in 16 bits. */
  private static void checkPrecision(Precision precision, @Nullable Backend backend) {
    boolean onGpu = backend != null && backend.info().name().equals("cuda");
    if (precision == (onGpu ? Precision.FLOAT32 : Precision.BFLOAT16)) {
      throw new IllegalArgumentException(
          "expected "
              + (onGpu ? "FLOAT16 or BFLOAT16 on a GPU" : "FLOAT32 or FLOAT16 on the CPU")
              + ", got "
              + precision
              + "; open the model with another precision in its options");
    }
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

  private static ModelFamily family(ModelConfig config) throws IOException {
    Map<String, ModelFamily> families = ModelFamily.installed();
    ModelFamily family = families.get(config.text("model_type", ""));
    if (family == null) {
      throw config.problem("model_type", "one of the supported families " + families.keySet());
    }
    return family;
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public int dModel() {
    return dimensions().dModel();
  }

  @Override
  public int vocabularySize() {
    return dimensions().vocabularySize();
  }

  @Override
  public int contextLength() {
    return dimensions().contextLength();
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

  @Override
  public synchronized void activations(HookPoint hook, int[][] tokens, FloatBuffer into) {
    checkOpen();
    hook.requireIn(this);
    int length = tokenIds.fill(tokens);
    OnnxSession session =
        sessions.get("tap " + hook, () -> Graphs.tap(architecture, weights, hook, kind));
    run(session, true, Map.of(), tokens.length, length, Graphs.ACTIVATIONS, dModel(), into);
    clearPadding(tokens, length, dModel(), into);
    FiniteOutput.require(name, hook + " activations", into, tokens.length, length, dModel());
  }

  @Override
  public boolean computesBeside(Backend backend) {
    return kind.ownOperators() && sharedBackend == backend;
  }

  @Override
  public synchronized Optional<DeviceActivations> deviceActivations(
      HookPoint hook, int[][] tokens) {
    checkOpen();
    hook.requireIn(this);
    Backend backend = sharedBackend;
    if (backend == null || !computesBeside(backend)) {
      return Optional.empty();
    }
    int length = tokenIds.fill(tokens);
    int rows = Math.multiplyExact(tokens.length, length);
    OnnxSession tap =
        sessions.get(
            "tap with norms " + hook,
            () -> Graphs.tap(architecture, weights, hook, kind.withNorms()));
    OnnxSession gather = sessions.get("gather", () -> DeviceGraphs.gather(weights, dModel()));
    TappedRows tapped = TappedRows.of(this, backend, gather, spare, rows);
    boolean done = false;
    try {
      fillPositions(tokens.length, length);
      try (Binding binding = tap.bind()) {
        bind(binding, tap, Graphs.POSITIONS, Tensor.of(positions, rows));
        bindLengths(binding, tap, tokens.length, length);
        bind(binding, tap, Graphs.TOKENS, Tensor.of(tokenIds.ids(), rows));
        tapped.bindTo(binding);
        binding.run();
      }
      requireFinite(hook, tapped, tokens, length);
      done = true;
      return Optional.of(tapped);
    } finally {
      if (!done) {
        tapped.close();
      }
    }
  }

  /** For rows that stay on the device, the norms show whether they are finite. */
  private void requireFinite(HookPoint hook, TappedRows rows, int[][] tokens, int length) {
    for (int sequence = 0; sequence < tokens.length; sequence++) {
      for (int at = 0; at < tokens[sequence].length; at++) {
        double norm = rows.norm(sequence * length + at);
        if (!Double.isFinite(norm)) {
          throw FiniteOutput.problem(
              name,
              hook + " activations",
              (float) norm,
              "sequence %d, position %d, their norm".formatted(sequence, at));
        }
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
    int length = tokenIds.fill(tokens);
    run(
        logitsSession(replaced),
        true,
        replaced,
        tokens.length,
        length,
        Graphs.LOGITS,
        vocabularySize(),
        into);
    clearPadding(tokens, length, vocabularySize(), into);
    FiniteOutput.require(name, LOGITS, into, tokens.length, length, vocabularySize());
  }

  private OnnxSession logitsSession(Map<HookPoint, FloatBuffer> replaced) {
    List<HookPoint> hooks = hookPoints.stream().filter(replaced::containsKey).toList();
    return sessions.get(
        "logits " + hooks, ofLogits, () -> Graphs.logits(architecture, weights, hooks, kind));
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
          "expected a hook point that the whole residual stream passes through, such as "
              + HookPoint.residPre(hook.layer())
              + ", got "
              + hook
              + ", which the residual stream bypasses; use logits(tokens, replaced,"
              + " into)");
    }
    run(session, false, replaced, batch, length, Graphs.LOGITS, vocabularySize(), into);
    FiniteOutput.require(name, LOGITS, into, batch, length, vocabularySize());
  }

  /**
   * Starts decoding up to {@code rows} sequences, one token at a time, with a KV cache.
   *
   * @param rows maximum number of parallel sequences, at least 1
   * @param maxLength maximum tokens per sequence, at most {@link #contextLength()}
   * @return a decoder, to be closed before this model
   */
  public Decoder decoder(int rows, int maxLength) {
    return newDecoder(rows, maxLength, null);
  }

  /**
   * As {@link #decoder(int, int)}, with a hook point at which {@link Decoder#steer} adds to the
   * activations. The model keeps the weights of decoding once for each such hook point, 4 bytes a
   * parameter, until it is closed.
   *
   * @throws IllegalArgumentException if the model has no such hook point
   */
  public Decoder decoder(int rows, int maxLength, HookPoint steered) {
    steered.requireIn(this);
    return newDecoder(rows, maxLength, steered);
  }

  private synchronized Decoder newDecoder(int rows, int maxLength, @Nullable HookPoint steered) {
    checkOpen();
    tokenIds.checkLength(rows, maxLength);
    return new Decoder(
        this,
        sessions.get(
            steered == null ? "step" : "step steered at " + steered,
            Keeping.WEIGHTS,
            () -> Graphs.step(architecture, weights, kind.precision(), steered)),
        steered,
        rows,
        maxLength);
  }

  /** Whether the model runs in a backend's memory and offers a {@link #deviceDecoder}. */
  public boolean onDevice() {
    return kind.ownOperators() && sharedBackend != null;
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
    return newDeviceDecoder(rows, maxLength, topP, null);
  }

  /**
   * As {@link #deviceDecoder(int, int, double)}, with a hook point at which {@link
   * DeviceDecoder#steer} adds to the activations.
   *
   * @throws IllegalArgumentException if the model has no such hook point
   */
  public DeviceDecoder deviceDecoder(int rows, int maxLength, double topP, HookPoint steered) {
    steered.requireIn(this);
    return newDeviceDecoder(rows, maxLength, topP, steered);
  }

  private synchronized DeviceDecoder newDeviceDecoder(
      int rows, int maxLength, double topP, @Nullable HookPoint steered) {
    checkOpen();
    tokenIds.checkLength(rows, maxLength);
    Backend backend = sharedBackend;
    if (!kind.ownOperators() || backend == null) {
      throw new IllegalStateException(
          "expected a model opened with a backend, on a runtime that shares its memory, got one"
              + " on the host; open it with OnnxModel.open(folder, options, backend) and"
              + " sae-models-iobinding, or use decoder(rows, maxLength)");
    }
    return new DeviceDecoder(
        this,
        backend,
        sessions.get(
            "sampling step " + topP + (steered == null ? "" : " steered at " + steered),
            Keeping.WEIGHTS,
            () -> DeviceGraphs.step(architecture, weights, kind.precision(), topP, steered)),
        new DecodedSequences(this, steered, rows, maxLength),
        new DeviceCache(dimensions(), kind.precision(), rows, maxLength));
  }

  Dimensions dimensions() {
    return architecture.dimensions();
  }

  /**
   * Runs whole sequences.
   *
   * @param fromTokens whether {@link #tokenIds} are filled
   * @param hooks activations {@code [rows, dModel]} at the hook points that are inputs
   */
  private void run(
      OnnxSession session,
      boolean fromTokens,
      Map<HookPoint, FloatBuffer> hooks,
      int batch,
      int length,
      String output,
      int width,
      FloatBuffer into) {
    int rows = Math.multiplyExact(batch, length);
    checkRoom("into", into, rows, width);
    hooks.forEach((hook, data) -> checkRoom(hook.toString(), data, rows, dModel()));
    fillPositions(batch, length);
    boolean direct = usable(into);
    FloatBuffer result = direct ? into : floats(rows, width);
    try (Binding binding = session.bind()) {
      bind(binding, session, Graphs.POSITIONS, Tensor.of(positions, rows));
      bindLengths(binding, session, batch, length);
      if (fromTokens) {
        bind(binding, session, Graphs.TOKENS, Tensor.of(tokenIds.ids(), rows));
      }
      hooks.forEach(
          (hook, data) ->
              bind(
                  binding,
                  session,
                  hook.toString(),
                  Tensor.of(readable(data, rows), rows, dModel())));
      binding.output(output, Tensor.of(result, rows, width)).run();
    }
    if (!direct) {
      into.put(into.position(), result, 0, rows * width);
    }
  }

  private void bindLengths(Binding binding, OnnxSession session, int batch, int length) {
    bind(binding, session, Graphs.LENGTH, Tensor.of(lengths.put(0, length), 1));
    bind(
        binding,
        session,
        DeviceGraphs.QUERY_SHAPE,
        Tensor.of(
            shape(
                queryShape,
                batch,
                length,
                dimensions().heads() * DeviceGraphs.headWidth(dimensions())),
            3));
    bind(
        binding,
        session,
        DeviceGraphs.KEY_SHAPE,
        Tensor.of(
            shape(
                keyShape,
                batch,
                length,
                dimensions().keyValueHeads() * DeviceGraphs.headWidth(dimensions())),
            3));
    IntBuffer seen = DirectBuffers.ints(batch);
    for (int i = 0; i < batch; i++) {
      seen.put(i, length - 1);
    }
    bind(binding, session, DeviceGraphs.SEEN, Tensor.of(seen, batch));
    bind(
        binding, session, DeviceGraphs.LONGEST, Tensor.of(DirectBuffers.ints(1).put(0, length), 1));
  }

  private static LongBuffer shape(LongBuffer into, long... dims) {
    return into.put(0, dims);
  }

  /** Binds an input if the graph has it: graphs have no unused inputs. */
  private static void bind(Binding binding, OnnxSession session, String name, Tensor value) {
    if (session.inputs().contains(name)) {
      binding.input(name, value);
    }
  }

  /** The buffer itself if ONNX Runtime can read it, else a copy. */
  private FloatBuffer readable(FloatBuffer data, int rows) {
    if (usable(data)) {
      return data;
    }
    FloatBuffer copy = floats(rows, dModel());
    return copy.put(0, data, data.position(), rows * dModel());
  }

  /** Sets the padding after shorter sequences to 0. */
  static void clearPadding(int[][] tokens, int length, int width, FloatBuffer into) {
    float[] zeros = new float[width];
    for (int row = 0; row < tokens.length; row++) {
      for (int at = tokens[row].length; at < length; at++) {
        into.put(into.position() + (row * length + at) * width, zeros);
      }
    }
  }

  void checkToken(int token, int row) {
    tokenIds.check(token, row);
  }

  static void checkRoom(String what, FloatBuffer buffer, int rows, int width) {
    long needed = (long) rows * width;
    if (buffer.remaining() < needed) {
      throw new IllegalArgumentException(
          "expected room in "
              + what
              + " for ["
              + rows
              + ", "
              + width
              + "] = "
              + needed
              + " floats, got "
              + buffer.remaining()
              + "; pass a larger buffer or fewer sequences");
    }
  }

  private void fillPositions(int batch, int length) {
    positions = ensure(positions, batch * length);
    for (int i = 0; i < batch * length; i++) {
      positions.put(i, i % length);
    }
  }

  /**
   * Runs work of decoders and device activations on this model's sessions, concurrently with other
   * such work, and keeps the model from closing in the meantime.
   */
  void whileOpen(Runnable work) {
    life.readLock().lock();
    try {
      checkOpen();
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

  static boolean usable(FloatBuffer buffer) {
    return buffer.isDirect() && !buffer.isReadOnly() && buffer.order() == ByteOrder.nativeOrder();
  }

  static LongBuffer ensure(LongBuffer buffer, int size) {
    return buffer.capacity() >= size ? buffer : DirectBuffers.longs(size);
  }

  static FloatBuffer floats(int size) {
    return floats(1, size);
  }

  static FloatBuffer floats(long rows, long width) {
    long bytes = Math.multiplyExact(rows * width, Float.BYTES);
    if (bytes > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          "expected buffers of at most 2 GiB, got one of "
              + bytes
              + " bytes; use fewer or shorter sequences");
    }
    return DirectBuffers.floats(rows * width);
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
      }
    } finally {
      life.writeLock().unlock();
    }
  }
}
