package io.faithfulsae.metrics.internal;

import io.faithfulsae.Latents;
import io.faithfulsae.metrics.FakeFeatures.Definition;
import io.faithfulsae.metrics.FakeFeatures.Sample;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Counts how often each latent fires, in blocks of consecutive sequences, so that sequences can be
 * resampled later without storing each one's firings.
 */
final class Firings {
  private final Definition definition;
  private final double[] thresholds;
  private final int expectedSequences;
  private final int[][] counts; // [blocks][latents]
  private final long[] units; // tokens or sequences of each block
  private final double[] sums; // Σ |z| of each latent
  private final long[] positives; // rows with |z| > 0
  private final double[] sequenceSums;
  private final int[] sequenceCounts;
  private final @Nullable Watcher watcher;
  private final int[] touched;
  private long sequencesSeen;
  private long sequencesWithRows;
  private long rows;
  private double norms;

  /** Sees active latents, sequence by sequence. */
  interface Watcher {
    /**
     * Called for each row of the current sequence and each latent that fires there, with its |z|.
     */
    void active(int latent, float size);

    /**
     * Called for each latent active in the current sequence: on {@code active} of {@code rows}
     * rows.
     */
    void sequence(int latent, int active, int rows);

    /** Called at the end of the current sequence, which had {@code rows} rows, at least 1. */
    void sequenceEnds(int rows);
  }

  /**
   * Starts at 0.
   *
   * @param thresholds what |z|, or its sum over a sequence, must exceed, for each latent
   * @param expectedSequences number of sequences to come, with or without rows
   */
  Firings(
      Definition definition,
      double[] thresholds,
      int expectedSequences,
      int blocks,
      @Nullable Watcher watcher) {
    this.definition = definition;
    this.thresholds = thresholds;
    this.expectedSequences = expectedSequences;
    this.counts = new int[blocks][thresholds.length];
    this.units = new long[blocks];
    this.sums = new double[thresholds.length];
    this.positives = new long[thresholds.length];
    this.sequenceSums = new double[thresholds.length];
    this.sequenceCounts = new int[thresholds.length];
    this.touched = new int[thresholds.length];
    this.watcher = watcher;
  }

  /** Adds a batch of sequences whose kept rows have been encoded. */
  void add(SequenceRows kept, Latents latents, int sequences, int length) {
    norms += kept.norms();
    rows += kept.keptRows();
    int row = 0;
    for (int s = 0; s < sequences; s++) {
      int first = row;
      row = kept.end(first, s, length);
      if (row > first) {
        int block = (int) (sequencesSeen * units.length / expectedSequences);
        addSequence(latents, first, row, counts[block]);
        units[block] += definition == Definition.TOKENS ? row - first : 1;
        sequencesWithRows++;
      }
      sequencesSeen++;
    }
  }

  private void addSequence(Latents latents, int firstRow, int endRow, int[] fired) {
    IntBuffer indices = latents.indices();
    FloatBuffer values = latents.values();
    int distinct = 0;
    int end = latents.start(endRow);
    for (int i = latents.start(firstRow); i < end; i++) {
      float value = Math.abs(values.get(i)); // AbsTopK's may be negative
      if (value > 0) {
        int latent = indices.get(i);
        sums[latent] += value;
        positives[latent]++;
        if (sequenceCounts[latent]++ == 0) {
          touched[distinct++] = latent;
        }
        sequenceSums[latent] += value;
        if (definition == Definition.TOKENS) {
          fired[latent] += value > thresholds[latent] ? 1 : 0;
        }
        if (watcher != null) {
          watcher.active(latent, value);
        }
      }
    }
    for (int i = 0; i < distinct; i++) {
      int latent = touched[i];
      if (definition == Definition.SEQUENCES) {
        fired[latent] += sequenceSums[latent] > thresholds[latent] ? 1 : 0;
      }
      if (watcher != null) {
        watcher.sequence(latent, sequenceCounts[latent], endRow - firstRow);
      }
      sequenceSums[latent] = 0;
      sequenceCounts[latent] = 0;
    }
    if (watcher != null) {
      watcher.sequenceEnds(endRow - firstRow);
    }
  }

  /** Share of tokens (or sequences) at which each latent fired; 0 if there were none. */
  double[] rates() {
    long[] total = new long[thresholds.length];
    for (int[] block : counts) {
      for (int latent = 0; latent < total.length; latent++) {
        total[latent] += block[latent];
      }
    }
    double all = Math.max(1, Arrays.stream(units).sum());
    return Arrays.stream(total).mapToDouble(fired -> fired / all).toArray();
  }

  /** Each latent's mean |z| where it fires; the mean over all latents if it never is. */
  double[] means() {
    double overall = meanActivation();
    double[] means = new double[sums.length];
    for (int latent = 0; latent < means.length; latent++) {
      means[latent] = positives[latent] == 0 ? overall : sums[latent] / positives[latent];
    }
    return means;
  }

  private double meanActivation() {
    return Arrays.stream(sums).sum() / Math.max(1, Arrays.stream(positives).sum());
  }

  /** Number of rows. */
  long rows() {
    return rows;
  }

  /** Summarizes the sequences. */
  Sample sample(String description) {
    double perRow = 1.0 / Math.max(1, rows);
    return new Sample(
        description,
        sequencesWithRows,
        rows,
        norms * perRow,
        meanActivation(),
        Arrays.stream(positives).sum() * perRow);
  }

  /** A resampler of the blocks. */
  BlockResampler resampler() {
    return new BlockResampler(counts, units);
  }
}
