package io.faithfulsae.models;

import static java.util.Objects.requireNonNull;

import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.models.OnnxModel.Options;
import io.faithfulsae.models.WholeSequences.Batch;
import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.OnnxRuntime;
import io.faithfulsae.models.runtime.OnnxSession;
import io.faithfulsae.models.runtime.Tensor;
import io.faithfulsae.models.runtime.internal.OnnxRuntimes;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.List;

/**
 * A language model with one hook point, a tensor of an {@link OnnxFile}. It computes activations
 * and logits; it cannot continue from activations put in their place.
 */
final class OnnxTap implements LanguageModel {
  /** All different, so that a tensor with other axes is recognized. */
  private static final int TRIAL_SEQUENCES = 3;

  private static final int TRIAL_TOKENS = 2;

  private final OnnxFile file;
  private final String tensor;
  private final HookPoint hook;
  private final Sessions sessions;
  private final TokenIds tokenIds;
  private final int dModel;
  private boolean closed;

  OnnxTap(OnnxFile file, String tensor, HookPoint hook, Options options) {
    this.file = file;
    this.tensor = tensor;
    this.hook = hook;
    this.tokenIds = new TokenIds(file.vocabularySize(), file.contextLength(), file.special().eos());
    this.sessions =
        new Sessions(
            OnnxRuntimes.open(null),
            new OnnxRuntime.Loading(
                requireNonNull(file.file().toAbsolutePath().getParent()),
                options.threads(),
                OnnxRuntime.Keeping.WEIGHTS,
                options.mapped() ? OnnxRuntime.Reading.MAPPED : OnnxRuntime.Reading.COPIED),
            () -> {});
    boolean made = false;
    try {
      this.dModel = width();
      made = true;
    } finally {
      if (!made) {
        sessions.close();
      }
    }
  }

  /** Runs a few tokens, since a file need not declare the shapes of its inner tensors. */
  private int width() {
    Tensor trial = tensor(tokenIds.fill(new int[TRIAL_SEQUENCES][TRIAL_TOKENS]));
    LongBuffer facts = DirectBuffers.longs(3);
    try (Binding binding = session(tensor).bind()) {
      binding
          .input(TokenFedGraph.TOKENS, trial)
          .output(TokenFedGraph.FACTS, Tensor.of(facts, 3))
          .run();
    }
    int rows = TRIAL_SEQUENCES * TRIAL_TOKENS;
    long first = facts.get(1);
    long width = facts.get(2);
    if (facts.get(0) != rows * width || (first != TRIAL_SEQUENCES && first != rows)) {
      throw new IllegalArgumentException(
          Expected.message(
              "a tensor [batch, length, d] or [batch * length, d]",
              tensor
                  + " with "
                  + facts.get(0)
                  + " elements, "
                  + first
                  + " x … x "
                  + width
                  + ", for ["
                  + TRIAL_SEQUENCES
                  + ", "
                  + TRIAL_TOKENS
                  + "] tokens",
              "name another tensor"));
    }
    return Math.toIntExact(width);
  }

  private static Tensor tensor(Batch batch) {
    return Tensor.of(requireNonNull(batch.tokens()), batch.count(), batch.length());
  }

  private OnnxSession session(String of) {
    return sessions.get(
        of, () -> TokenFedGraph.build(file.model(), of, String.valueOf(file.file().getFileName())));
  }

  /** The names of the file and the tensor, so that two taps of one file are distinct. */
  @Override
  public String name() {
    return file.file().getFileName() + ":" + tensor;
  }

  @Override
  public int dModel() {
    return dModel;
  }

  @Override
  public int vocabularySize() {
    return file.vocabularySize();
  }

  @Override
  public int contextLength() {
    return file.contextLength();
  }

  @Override
  public int bosToken() {
    return file.special().bos();
  }

  @Override
  public int eosToken() {
    return file.special().eos();
  }

  @Override
  public List<HookPoint> hookPoints() {
    return List.of(hook);
  }

  @Override
  public synchronized void activations(HookPoint at, int[][] tokens, FloatBuffer into) {
    at.requireIn(this);
    run(tensor, dModel, tokens, into, hook + " activations");
  }

  @Override
  public synchronized void logits(int[][] tokens, FloatBuffer into) {
    run(file.logits(), file.vocabularySize(), tokens, into, "logits");
  }

  /**
   * Not supported: it is unknown what else in the file would have to be recomputed.
   *
   * @throws UnsupportedOperationException always
   */
  @Override
  public void logitsFrom(
      HookPoint at, FloatBuffer activations, int batch, int length, FloatBuffer into) {
    throw new UnsupportedOperationException(
        Expected.message(
            "a model of a built-in family to continue from activations",
            name(),
            "open the Hugging Face folder with OnnxModel.open"));
  }

  private void run(String of, int width, int[][] tokens, FloatBuffer into, String what) {
    if (closed) {
      throw new IllegalStateException(name() + " is closed");
    }
    Batch batch = tokenIds.fill(tokens);
    int rows = batch.rows();
    FloatRows.requireRoom("into", into, rows, width);
    boolean direct = FloatRows.isUsable(into);
    FloatBuffer result = direct ? into : FloatRows.allocate(rows, width);
    try (Binding binding = session(of).bind()) {
      binding
          .input(TokenFedGraph.TOKENS, tensor(batch))
          .output(TokenFedGraph.OUTPUT, Tensor.of(result, rows, width))
          .run();
    }
    if (!direct) {
      into.put(into.position(), result, 0, rows * width);
    }
    FloatRows.clearPadding(tokens, batch.length(), width, into);
    FiniteOutput.require(name(), what, into, batch, width);
  }

  @Override
  public synchronized void close() {
    if (!closed) {
      closed = true;
      sessions.close();
    }
  }
}
