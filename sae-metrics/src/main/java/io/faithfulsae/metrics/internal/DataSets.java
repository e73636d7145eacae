package io.faithfulsae.metrics.internal;

import io.faithfulsae.LanguageModel;
import io.faithfulsae.TokenSource;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.DataSetStatistics;
import io.faithfulsae.metrics.DataSetStatistics.Growth;
import io.faithfulsae.metrics.FirstTokens;
import io.faithfulsae.metrics.FirstTokens.Share;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.commons.math3.stat.descriptive.SummaryStatistics;

/** Computes statistics of data sets. */
public final class DataSets {
  private static final int LONGEST_N_GRAM = 4;
  private static final int TOP = 10;
  private static final double EPSILON = 1e-10;

  private DataSets() {}

  /** Counts whole sequences until at least {@code maxTokens} tokens have been seen. */
  public static DataSetStatistics count(TokenSource data, long maxTokens) throws IOException {
    SummaryStatistics lengths = new SummaryStatistics();
    Map<Integer, Long> counts = new HashMap<>();
    BitSet firstTokens = new BitSet();
    NGrams sequences = new NGrams(1);
    List<NGrams> nGrams = IntStream.rangeClosed(1, LONGEST_N_GRAM).mapToObj(NGrams::new).toList();
    List<Growth> growth = new ArrayList<>();
    forEach(
        data,
        maxTokens,
        sequence -> {
          long seen = (long) lengths.getSum();
          lengths.addValue(sequence.length);
          if (sequence.length > 1) {
            firstTokens.set(sequence[1]);
          }
          sequences.add(NGrams.hash(sequence, 0, sequence.length));
          nGrams.forEach(grams -> grams.add(sequence));
          for (int token : sequence) {
            counts.merge(token, 1L, Long::sum);
            seen++;
            if (Long.bitCount(seen) == 1) {
              growth.add(new Growth(seen, counts.size()));
            }
          }
        });
    long tokens = (long) lengths.getSum();
    if (growth.get(growth.size() - 1).tokens() < tokens) {
      growth.add(new Growth(tokens, counts.size()));
    }
    return new DataSetStatistics(
        lengths.getN(),
        tokens,
        counts.size(),
        firstTokens.cardinality(),
        sequences.distinct().length,
        lengths.getMean(),
        Math.sqrt(lengths.getPopulationVariance()),
        (int) lengths.getMin(),
        (int) lengths.getMax(),
        counts.values().stream().mapToDouble(n -> -entropyTerm((double) n / tokens)).sum(),
        nGrams.stream()
            .map(g -> g.total() == 0 ? 0 : (double) g.distinct().length / g.total())
            .toList(),
        growth);
  }

  private static double entropyTerm(double p) {
    return p == 0 ? 0 : p * Math.log(p);
  }

  /** Share of another data set's distinct n-grams that also occur in this one. */
  public static double coverage(TokenSource data, TokenSource other, int n, long maxTokens)
      throws IOException {
    Expected.atLeast("n", n, 1, "1 compares single tokens");
    NGrams own = new NGrams(n);
    NGrams others = new NGrams(n);
    forEach(data, maxTokens, own::add);
    forEach(other, maxTokens, others::add);
    long[] wanted = others.distinct();
    if (wanted.length == 0) {
      throw new IllegalArgumentException(
          Expected.message(
              "sequences of at least " + n + " tokens in " + other.description(),
              "none",
              "use a longer text"));
    }
    return (double) NGrams.common(wanted, own.distinct()) / wanted.length;
  }

  private static void forEach(TokenSource data, long maxTokens, Consumer<int[]> use)
      throws IOException {
    long seen = 0;
    try (Stream<int[]> stream = data.open(0)) {
      for (Iterator<int[]> i = stream.iterator(); i.hasNext() && seen < maxTokens; ) {
        int[] sequence = i.next();
        if (sequence.length > 0) {
          use.accept(sequence);
          seen += sequence.length;
        }
      }
    }
    if (seen == 0) {
      throw new IllegalArgumentException(
          Expected.message(
              "at least one token in " + data.description(), "none", "use a data set with text"));
    }
  }

  /** Compares the first tokens of a data set with a model's distribution. */
  public static FirstTokens firstTokens(TokenSource data, LanguageModel model, long maxTokens)
      throws IOException {
    long[] counts = new long[model.vocabularySize()];
    long[] without = new long[1];
    forEach(
        data,
        maxTokens,
        sequence -> {
          if (sequence.length > 1) {
            counts[sequence[1]]++;
          } else {
            without[0]++;
          }
        });
    float[] logits = new float[model.vocabularySize()];
    model.logits(new int[][] {{model.bosToken()}}, FloatBuffer.wrap(logits));
    return compare(counts, without[0], logits);
  }

  /** Compares counts of first tokens with logits, both indexed by token. */
  static FirstTokens compare(long[] counts, long without, float[] logits) {
    long total = Arrays.stream(counts).sum();
    if (total == 0) {
      throw new IllegalArgumentException(
          Expected.message(
              "sequences of at least two tokens",
              "none",
              "use a data set whose documents start with BOS"));
    }
    double[] p = Arrays.stream(counts).mapToDouble(n -> (double) n / total).toArray();
    double[] q = softmax(logits);
    double crossEntropy = 0;
    double toModel = 0;
    double toData = 0;
    double jensenShannon = 0;
    for (int token = 0; token < p.length; token++) {
      crossEntropy -= p[token] * Math.log(q[token] + EPSILON);
      double ratio = Math.log((p[token] + EPSILON) / (q[token] + EPSILON));
      toModel += p[token] * ratio;
      toData -= q[token] * ratio;
      double middle = (p[token] + q[token]) / 2;
      jensenShannon += (entropyTerm(p[token]) + entropyTerm(q[token])) / 2 - entropyTerm(middle);
    }
    double[] sortedData = descending(Arrays.stream(p).filter(share -> share > 0));
    double[] sortedModel = descending(Arrays.stream(q));
    return new FirstTokens(
        total,
        without,
        toModel,
        toData,
        (toModel + toData) / 2,
        jensenShannon,
        crossEntropy,
        top(p, p, q),
        top(q, p, q),
        Arrays.stream(sortedData).boxed().toList(),
        Arrays.stream(sortedModel).limit(sortedData.length).boxed().toList());
  }

  private static List<Share> top(double[] by, double[] p, double[] q) {
    return IntStream.range(0, by.length)
        .boxed()
        .sorted(Comparator.<Integer>comparingDouble(token -> -by[token]))
        .limit(TOP)
        .map(token -> new Share(token, p[token], q[token]))
        .toList();
  }

  private static double[] descending(DoubleStream values) {
    return values.map(value -> -value).sorted().map(value -> -value).toArray();
  }

  private static double[] softmax(float[] logits) {
    double largest = Double.NEGATIVE_INFINITY;
    for (float logit : logits) {
      largest = Math.max(largest, logit);
    }
    double[] weights = new double[logits.length];
    double sum = 0;
    for (int i = 0; i < logits.length; i++) {
      weights[i] = Math.exp(logits[i] - largest);
      sum += weights[i];
    }
    for (int i = 0; i < logits.length; i++) {
      weights[i] /= sum;
    }
    return weights;
  }
}
