package io.faithfulsae.metrics.internal;

import io.faithfulsae.Latents;
import io.faithfulsae.metrics.FakeFeatures.Definition;
import io.faithfulsae.metrics.FakeFeatures.Sample;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * How often each latent fired, in blocks of neighbouring sequences, so that sequences can be
 * resampled afterwards without keeping what each of them did.
 */
final class Firings {
  private final Definition definition;
  private final double[] thresholds;
  private final int expectedSequences;
  private final int[][] counts; // [blocks][latents]
  private final long[] units; // tokens or sequences of each block
  private final double[] sums; // Σ z of each latent
  private final long[] positives; // rows with z > 0
  private final double[] sequenceSums;
  private final int[] sequenceCounts;
  private final @Nullable Watcher watcher;
  private final int[] touched;
  private long sequencesSeen;
  private long sequencesWithRows;
  private long rows;
  private double norms;

  /** Hears what is active, sequence after sequence. */
  interface Watcher {
    /** A latent with z &gt; 0 at a row of the current sequence. */
    void active(int latent, float z);

    /** A latent that was active on some of the rows of the current sequence. */
    void sequence(int latent, int active, int rows);

    /** The current sequence is over, which had so many rows, at least 1. */
    void sequenceEnds(int rows);
  }

  /**
   * Counts nothing yet.
   *
   * @param thresholds what z, or its sum over a sequence, must exceed, of each latent
   * @param expectedSequences sequences that will come, with or without rows
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

  /** Adds a batch of sequences whose kept rows were encoded. */
  void add(SequenceRows kept, Latents latents, int sequences, int length) {
    norms += kept.norms();
    rows += kept.keptRows();
    int row = 0;
    for (int s = 0; s < sequences; s++) {
      int first = row;
      while (row < kept.keptRows() && kept.position(row) / length == s) {
        row++;
      }
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
    for (int i = firstRow * latents.k(); i < endRow * latents.k(); i++) {
      float value = values.get(i);
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

  /** Share of tokens (or sequences) at which each latent fired; 0 where nothing was seen. */
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

  /** Each latent's mean z where it is positive; the mean of all latents where it never is. */
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

  /** Rows seen. */
  long rows() {
    return rows;
  }

  /** The sequences in numbers. */
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

  /** Firings by block, to resample. */
  BlockResampler resampler() {
    return new BlockResampler(counts, units);
  }
}
