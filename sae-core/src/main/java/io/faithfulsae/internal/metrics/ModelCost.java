package io.faithfulsae.internal.metrics;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.Sae;
import io.faithfulsae.TokenSource;
import io.faithfulsae.metrics.CrossEntropy;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Runs a model on text with and without SAEs' reconstructions in its residual stream. However many
 * SAEs there are, the model runs once to the hook, once as it is and once on zeros.
 */
public final class ModelCost implements AutoCloseable {
  private static final int BATCH_TOKENS = 4096;
  private static final long LOGIT_BYTES = 128L << 20;

  private final Backend backend;
  private final LanguageModel model;
  private final HookPoint hook;
  private final ActivationFilter filter;
  private final int batchTokens;
  private @Nullable Room room;
  private long sequences;
  private long predicted;
  private long replacedPositions;
  private long keptPositions;
  private double clean;
  private double zeroAblated;
  private final List<OfSae> saes;
  private final SharedEncoding encoding;

  /** What one SAE's reconstructions cost: sums over predicted positions. */
  private static final class OfSae {
    private final Sae sae;
    private double replaced;
    private double divergence;

    OfSae(Sae sae) {
      this.sae = sae;
    }
  }

  /** Memory for a batch of at most so many tokens. */
  private record Room(
      int tokens,
      HookRows rows,
      ActivationBatch reconstructions,
      DeviceBuffer clean,
      DeviceBuffer changed)
      implements AutoCloseable {
    @Override
    public void close() {
      reconstructions.close();
      changed.close();
      clean.close();
      rows.close();
    }
  }

  private ModelCost(List<Sae> saes, LanguageModel model, HookPoint hook, ActivationFilter filter) {
    this.backend = HookRows.backendOf(saes, model);
    this.saes = saes.stream().map(OfSae::new).toList();
    this.encoding = new SharedEncoding(saes);
    this.model = model;
    this.hook = hook;
    this.filter = filter;
    this.batchTokens =
        (int) Math.min(BATCH_TOKENS, LOGIT_BYTES / Float.BYTES / model.vocabularySize());
  }

  /** Measures whole sequences until at least {@code maxTokens} positions were predicted. */
  public static List<CrossEntropy> measure(
      List<Sae> saes,
      LanguageModel model,
      HookPoint hook,
      TokenSource text,
      ActivationFilter filter,
      long maxTokens)
      throws IOException {
    if (maxTokens < 1) {
      throw new IllegalArgumentException(
          "expected maxTokens >= 1, got " + maxTokens + "; mend: Long.MAX_VALUE takes all");
    }
    try (ModelCost cost = new ModelCost(saes, model, hook, filter);
        Stream<int[]> sequences = text.open(0)) {
      SequenceBatches batches =
          new SequenceBatches(
              sequences.iterator(), length -> Math.max(1, cost.batchTokens / length));
      while (batches.hasNext() && cost.predicted < maxTokens) {
        cost.add(atMost(batches.next(), maxTokens - cost.predicted));
      }
      if (cost.predicted == 0) {
        throw new IllegalArgumentException(
            "expected text with at least one sequence of two tokens, got none from "
                + text.description()
                + "; mend: give more text");
      }
      return cost.saes.stream().map(sae -> cost.result(sae, text.description())).toList();
    }
  }

  private static int[][] atMost(int[][] batch, long positions) {
    int perSequence = batch[0].length - 1;
    long needed = 1 + (positions - 1) / perSequence;
    return needed >= batch.length ? batch : Arrays.copyOf(batch, (int) needed);
  }

  private void add(int[][] tokens) {
    int count = tokens.length * tokens[0].length;
    Room memory = room(count);
    HookRows rows = memory.rows();
    rows.read(tokens);
    FloatBuffer before = run(tokens, rows, memory.clean());
    encoding.encode(
        rows.kept(),
        (i, latents) -> {
          OfSae each = saes.get(i);
          each.sae.decode(latents, memory.reconstructions());
          rows.replaceBy(memory.reconstructions());
          compare(each, tokens, before, run(tokens, rows, memory.changed()));
        });
    rows.replaceByZeros();
    FloatBuffer without = run(tokens, rows, memory.changed());
    double[] sums =
        sumOverPositions(
            tokens,
            2,
            (at, next, losses) -> {
              losses[0] = crossEntropy(before, at, next);
              losses[1] = crossEntropy(without, at, next);
            });
    clean += sums[0];
    zeroAblated += sums[1];
    sequences += tokens.length;
    predicted += (long) tokens.length * (tokens[0].length - 1);
    replacedPositions += rows.keptRows();
    keptPositions += count - rows.keptRows();
  }

  private Room room(int tokens) {
    Room current = room;
    if (current == null || current.tokens() < tokens) {
      close();
      int capacity = Math.max(tokens, batchTokens);
      long logitBytes = (long) capacity * model.vocabularySize() * Float.BYTES;
      if (logitBytes > Integer.MAX_VALUE) {
        throw new IllegalArgumentException(
            "expected the logits of one sequence within 2 GiB, got ["
                + tokens
                + ", "
                + model.vocabularySize()
                + "]; mend: use shorter sequences");
      }
      current =
          new Room(
              capacity,
              new HookRows(backend, model, hook, filter, capacity),
              ActivationBatch.allocate(backend, capacity, model.dModel()),
              backend.allocate(logitBytes),
              backend.allocate(logitBytes));
      room = current;
    }
    return current;
  }

  private FloatBuffer run(int[][] tokens, HookRows rows, DeviceBuffer into) {
    int length = tokens[0].length;
    int count = tokens.length * length;
    FloatBuffer logits = into.host().asFloatBuffer().limit(count * model.vocabularySize());
    if (hook.isResidual()) {
      model.logitsFrom(hook, rows.activations(count), tokens.length, length, logits);
    } else {
      model.logits(tokens, Map.of(hook, rows.activations(count)), logits);
    }
    return logits;
  }

  private void compare(OfSae of, int[][] tokens, FloatBuffer before, FloatBuffer after) {
    double[] sums =
        sumOverPositions(
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
              // Σ p (log p − log q); rounding may leave it a little below 0.
              losses[1] = Math.max(0, weighted / sum - logSumBefore + logSumAfter);
            });
    of.replaced += sums[0];
    of.divergence += sums[1];
  }

  private interface Losses {
    /** Of the logits that begin at {@code at}, given the token that follows. */
    void compute(int at, int next, double[] losses);
  }

  /** Computes losses on all cores, and adds them in order so that each run gives the same sums. */
  private double[] sumOverPositions(int[][] tokens, int kinds, Losses losses) {
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
    double[] sums = new double[kinds];
    for (double[] position : of) {
      for (int kind = 0; kind < kinds; kind++) {
        sums[kind] += position[kind];
      }
    }
    return sums;
  }

  private double crossEntropy(FloatBuffer logits, int at, int next) {
    return logSumExp(logits, at) - logits.get(at + next);
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

  private CrossEntropy result(OfSae of, String text) {
    double replaced = of.replaced;
    double recoverable = zeroAblated - clean;
    return new CrossEntropy(
        model.name(),
        hook.toString(),
        text,
        sequences,
        predicted,
        replacedPositions,
        keptPositions,
        clean / predicted,
        replaced / predicted,
        zeroAblated / predicted,
        (replaced - clean) / predicted,
        recoverable == 0 ? 0 : (zeroAblated - replaced) / recoverable,
        of.divergence / predicted);
  }

  @Override
  public void close() {
    if (room != null) {
      room.close();
      room = null;
    }
  }
}
