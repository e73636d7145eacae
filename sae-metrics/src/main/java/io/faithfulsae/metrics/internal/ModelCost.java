package io.faithfulsae.metrics.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.Sae;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.metrics.CrossEntropy;
import io.faithfulsae.metrics.ModelActivations;
import io.faithfulsae.metrics.ModelActivations.HookedModel;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Runs a model on text with and without SAEs' reconstructions in place of its activations, or
 * transcoders' outputs in place of those at their target. Regardless of the number of SAEs, the
 * model runs up to the hook twice (the first time for the mean), and from the hook once unchanged,
 * once with zeros and once with the mean.
 */
public final class ModelCost implements AutoCloseable {
  private static final long LOGIT_BYTES = 128L << 20;

  private final Backend backend;
  private final ModelActivations activations;
  private final LanguageModel model;
  private final @Nullable HookedModel target; // null: where the SAEs read
  private final int batchTokens;
  private @Nullable Workspace workspace;
  private long sequences;
  private long replacedPositions;
  private long keptPositions;
  private final double[] rowSums;
  private float[] mean = {};
  private final List<OfSae> saes;
  private final SharedEncoding encoding;

  /** The cost of one SAE's reconstructions, in the columns of {@link CrossEntropy.Losses}. */
  private static final class OfSae {
    private final Sae sae;
    private final SequenceSums sums = new SequenceSums(6);
    private double[][] batch = {}; // [sequences], replaced and divergence

    OfSae(Sae sae) {
      this.sae = sae;
    }
  }

  /** Memory for a batch of limited size. */
  private record Workspace(
      int tokens,
      HookRows rows,
      HookRows written,
      ActivationBatch reconstructions,
      DeviceBuffer clean,
      DeviceBuffer changed)
      implements AutoCloseable {
    @Override
    public void close() {
      reconstructions.close();
      changed.close();
      clean.close();
      written.close();
      rows.close();
    }
  }

  private ModelCost(List<Sae> saes, ModelActivations activations, @Nullable HookPoint writes) {
    this.activations = activations;
    this.model = activations.model();
    this.target =
        writes == null || writes.equals(activations.hook()) ? null : new HookedModel(model, writes);
    if (target == null) {
      Targets.requireAutoencoders(
          saes, "the cross entropy with x̂ in place of x", "pass the hook point it writes");
    } else {
      Targets.requireOutputs(saes, target);
    }
    this.backend = HookRows.backendOf(saes, activations.on());
    this.saes = saes.stream().map(OfSae::new).toList();
    this.encoding = new SharedEncoding(saes);
    this.rowSums = new double[model.width(replaced())];
    this.batchTokens =
        (int) Math.min(SequenceBatches.TOKENS, LOGIT_BYTES / Float.BYTES / model.vocabularySize());
  }

  /** Measures whole sequences until at least {@code maxTokens} positions have been predicted. */
  public static List<CrossEntropy> measure(
      List<Sae> saes, ModelActivations activations, long maxTokens) throws IOException {
    return measure(saes, activations, null, maxTokens);
  }

  /**
   * The same of transcoders.
   *
   * @param target where their outputs replace the activations; null: where they read
   */
  public static List<CrossEntropy> measure(
      List<Sae> saes, ModelActivations activations, @Nullable HookPoint target, long maxTokens)
      throws IOException {
    Expected.atLeast("maxTokens", maxTokens, 1, "use Long.MAX_VALUE to read all text");
    try (ModelCost cost = new ModelCost(saes, activations, target)) {
      cost.read(maxTokens, cost::addToMean);
      cost.setMean();
      long predicted = cost.read(maxTokens, cost::add);
      return cost.saes.stream().map(sae -> cost.result(sae, predicted)).toList();
    }
  }

  /**
   * Reads whole sequences, the same ones each time, and returns the number of predicted positions.
   */
  private long read(long maxTokens, Consumer<int[][]> use) throws IOException {
    long predicted = 0;
    try (Stream<int[]> sequences = activations.text().open(0)) {
      SequenceBatches batches = new SequenceBatches(sequences.iterator(), batchTokens);
      while (batches.hasNext() && predicted < maxTokens) {
        int[][] batch = atMost(batches.next(), maxTokens - predicted);
        use.accept(batch);
        predicted += (long) batch.length * (batch[0].length - 1);
      }
    }
    if (predicted == 0) {
      throw new IllegalArgumentException(
          Expected.message(
              "text with at least one sequence of two tokens",
              "none from " + activations.text().description(),
              "provide more text"));
    }
    return predicted;
  }

  private void addToMean(int[][] tokens) {
    Workspace memory = workspace(tokens.length * tokens[0].length);
    read(tokens, memory);
    HookRows rows = memory.written();
    FloatBuffer kept = rows.kept().data();
    for (int i = 0; i < rows.keptRows() * rowSums.length; i++) {
      rowSums[i % rowSums.length] += kept.get(i);
    }
    replacedPositions += rows.keptRows();
  }

  private void setMean() {
    mean = new float[rowSums.length];
    for (int i = 0; i < mean.length; i++) {
      mean[i] = (float) (rowSums[i] / Math.max(1, replacedPositions));
    }
  }

  private static int[][] atMost(int[][] batch, long positions) {
    int perSequence = batch[0].length - 1;
    long needed = 1 + (positions - 1) / perSequence;
    return needed >= batch.length ? batch : Arrays.copyOf(batch, (int) needed);
  }

  private void add(int[][] tokens) {
    int count = tokens.length * tokens[0].length;
    Workspace memory = workspace(count);
    read(tokens, memory);
    ActivationBatch read = memory.rows().kept();
    HookRows rows = memory.written();
    FloatBuffer before = run(tokens, rows, memory.clean());
    encoding.encode(
        read,
        (i, latents) -> {
          OfSae each = saes.get(i);
          each.sae.decode(latents, read, memory.reconstructions());
          rows.replaceWith(memory.reconstructions());
          each.batch = compare(tokens, before, run(tokens, rows, memory.changed()));
        });
    rows.replaceWith(new float[rowSums.length]);
    double[][] zero = losses(tokens, run(tokens, rows, memory.changed()));
    rows.replaceWith(mean);
    double[][] average = losses(tokens, run(tokens, rows, memory.changed()));
    double[][] own = losses(tokens, before);
    int positions = tokens[0].length - 1;
    for (OfSae each : saes) {
      for (int s = 0; s < tokens.length; s++) {
        double[] changed = each.batch[s];
        each.sums.add(positions, own[s][0], changed[0], zero[s][0], average[s][0], changed[1]);
      }
    }
    sequences += tokens.length;
    keptPositions += count - rows.keptRows();
  }

  private void read(int[][] tokens, Workspace memory) {
    if (target == null) {
      memory.rows().read(tokens);
    } else {
      memory.rows().read(tokens, memory.written());
    }
  }

  private Workspace workspace(int tokens) {
    Workspace current = workspace;
    if (current == null || current.tokens() < tokens) {
      free();
      int capacity = Math.max(tokens, batchTokens);
      long logitBytes = (long) capacity * model.vocabularySize() * Float.BYTES;
      if (logitBytes > Integer.MAX_VALUE) {
        throw new IllegalArgumentException(
            Expected.message(
                "logits of one sequence within 2 GiB",
                "[" + tokens + ", " + model.vocabularySize() + "]",
                "use shorter sequences"));
      }
      HookRows rows = new HookRows(backend, activations.on(), activations.filter(), capacity);
      HookedModel writes = target;
      current =
          new Workspace(
              capacity,
              rows,
              writes == null ? rows : new HookRows(backend, writes, activations.filter(), capacity),
              ActivationBatch.allocate(backend, capacity, rowSums.length),
              backend.allocate(logitBytes),
              backend.allocate(logitBytes));
      workspace = current;
    }
    return current;
  }

  private HookPoint replaced() {
    return target == null ? activations.hook() : target.hook();
  }

  private FloatBuffer run(int[][] tokens, HookRows rows, DeviceBuffer into) {
    int length = tokens[0].length;
    int count = tokens.length * length;
    HookPoint hook = replaced();
    FloatBuffer logits = into.host().asFloatBuffer().limit(count * model.vocabularySize());
    if (hook.isResidual()) {
      model.logitsFrom(hook, rows.activations(count), tokens.length, length, logits);
    } else {
      model.logits(tokens, Map.of(hook, rows.activations(count)), logits);
    }
    return logits;
  }

  /** For each sequence, Σ cross entropy after and Σ KL(before ‖ after). */
  private double[][] compare(int[][] tokens, FloatBuffer before, FloatBuffer after) {
    return sums(
        tokens,
        2,
        (at, next, losses) -> {
          double logSumAfter = logSumExp(after, at);
          double largest = largest(before, at);
          double sum = 0;
          double weighted = 0;
          for (int v = at; v < at + model.vocabularySize(); v++) {
            double logit = before.get(v);
            double weight = Math.exp(logit - largest);
            sum += weight;
            weighted += weight * (logit - after.get(v));
          }
          double logSumBefore = largest + Math.log(sum);
          losses[0] = logSumAfter - after.get(at + next);
          // Σ p (log p − log q); rounding may put it slightly below 0.
          losses[1] = Math.max(0, weighted / sum - logSumBefore + logSumAfter);
        });
  }

  /** For each sequence, Σ cross entropy. */
  private double[][] losses(int[][] tokens, FloatBuffer logits) {
    return sums(
        tokens, 1, (at, next, losses) -> losses[0] = logSumExp(logits, at) - logits.get(at + next));
  }

  private interface Losses {
    /** Computes the losses at the logits starting at {@code at}, given the token that follows. */
    void compute(int at, int next, double[] losses);
  }

  /** Computes losses in parallel and adds them in order, so that every run gives the same sums. */
  private double[][] sums(int[][] tokens, int kinds, Losses losses) {
    int length = tokens[0].length;
    double[][] of = new double[tokens.length * (length - 1)][kinds];
    IntStream.range(0, of.length)
        .parallel()
        .forEach(
            i -> {
              int s = i / (length - 1);
              int t = i % (length - 1);
              losses.compute((s * length + t) * model.vocabularySize(), tokens[s][t + 1], of[i]);
            });
    double[][] sums = new double[tokens.length][kinds];
    for (int i = 0; i < of.length; i++) {
      for (int kind = 0; kind < kinds; kind++) {
        sums[i / (length - 1)][kind] += of[i][kind];
      }
    }
    return sums;
  }

  private double logSumExp(FloatBuffer logits, int at) {
    double largest = largest(logits, at);
    double sum = 0;
    for (int v = at; v < at + model.vocabularySize(); v++) {
      sum += Math.exp(logits.get(v) - largest);
    }
    return largest + Math.log(sum);
  }

  private float largest(FloatBuffer logits, int at) {
    float largest = Float.NEGATIVE_INFINITY;
    for (int v = at; v < at + model.vocabularySize(); v++) {
      largest = Math.max(largest, logits.get(v));
    }
    return largest;
  }

  private CrossEntropy result(OfSae of, long predicted) {
    double[] totals = of.sums.totals();
    BootstrapInterval[] intervals =
        of.sums.intervals(
            sums -> (sums[2] - sums[1]) / sums[0],
            sums -> recovered(sums[1], sums[2], sums[3]),
            sums -> recovered(sums[1], sums[2], sums[4]),
            sums -> sums[5] / sums[0]);
    return new CrossEntropy(
        model.name(),
        replaced().toString(),
        activations.text().description(),
        sequences,
        predicted,
        replacedPositions,
        keptPositions,
        totals[1] / predicted,
        totals[2] / predicted,
        totals[3] / predicted,
        totals[4] / predicted,
        intervals[0].estimate(),
        intervals[0],
        intervals[1].estimate(),
        intervals[1],
        intervals[2].estimate(),
        intervals[2],
        intervals[3].estimate(),
        intervals[3],
        of.sums.blocks().stream()
            .map(b -> new CrossEntropy.Losses((long) b[0], b[1], b[2], b[3], b[4], b[5]))
            .toList());
  }

  /** The share of an ablation's damage that is avoided. */
  private static double recovered(double clean, double replaced, double ablated) {
    return ablated == clean ? 0 : (ablated - replaced) / (ablated - clean);
  }

  @Override
  public void close() {
    encoding.close();
    free();
  }

  private void free() {
    if (workspace != null) {
      workspace.close();
      workspace = null;
    }
  }
}
