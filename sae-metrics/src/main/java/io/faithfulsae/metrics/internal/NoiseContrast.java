package io.faithfulsae.metrics.internal;

import io.faithfulsae.metrics.Histogram;
import io.faithfulsae.metrics.NoiseAgainstText;
import io.faithfulsae.metrics.NoiseAgainstText.OfLatent;
import io.faithfulsae.metrics.NoiseAgainstText.Verdict;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Compares the activity of latents on noise and on text. The text is read first: its activations
 * are kept (8 bytes each while reading, 4 afterwards) and sorted by latent, so that each activation
 * on noise can be ranked among them exactly as it arrives. Rates per sequence are kept as counts in
 * bins ("levels"), 1 KiB per latent.
 */
final class NoiseContrast {
  private static final int LEVELS = 121;
  private static final double LOWEST_OCTAVE = -12;
  private static final double STEPS_PER_OCTAVE = 10;
  private static final int BINS = 48;

  private final int dSae;
  private final Side text;
  private final Side noise;
  private int[] textLatents = new int[1024];
  private float[] textValues = new float[1024];
  private int textCount;
  private int[] starts = {};
  private final long[] wins; // twice the Mann-Whitney U of the rows with |z| > 0 on noise

  NoiseContrast(int dSae) {
    this.dSae = dSae;
    this.text = new Side(dSae);
    this.noise = new Side(dSae);
    this.wins = new long[dSae];
  }

  /** The counts for noise, or for text. */
  private static final class Side {
    private final long[] firings;
    private final int[] levels; // [dSae, LEVELS], sequences by a latent's rate
    private long rows;
    private long sequences;

    Side(int dSae) {
      this.firings = new long[dSae];
      this.levels = new int[dSae * LEVELS];
    }

    void addSequence(int latent, int active, int ofRows) {
      firings[latent] += active;
      levels[latent * LEVELS + level((double) active / ofRows)]++;
    }

    void endSequence(int ofRows) {
      rows += ofRows;
      sequences++;
    }

    /**
     * Number of sequences at each level, starting with those in which the latent is never active.
     */
    long[] byLevel(int latent) {
      long[] counts = new long[1 + LEVELS];
      counts[0] = sequences;
      for (int level = 0; level < LEVELS; level++) {
        counts[1 + level] = levels[latent * LEVELS + level];
        counts[0] -= counts[1 + level];
      }
      return counts;
    }

    double rate(int latent) {
      return (double) firings[latent] / rows;
    }

    double smoothedRate(int latent) {
      return (firings[latent] + 0.5) / (rows + 1.0);
    }
  }

  /** The level of a rate in (0, 1]; increases with the rate. */
  private static int level(double rate) {
    double octave = Math.log(rate) / Math.log(2) - LOWEST_OCTAVE;
    return Math.max(0, Math.min(LEVELS - 1, (int) Math.round(octave * STEPS_PER_OCTAVE)));
  }

  /** Returns a watcher for the text. */
  Firings.Watcher onText() {
    return watcher(text, this::addText);
  }

  /** Returns a watcher for the noise; call once all text has been read. */
  Firings.Watcher onNoise() {
    sortText();
    return watcher(noise, this::addNoise);
  }

  private interface ActivationListener {
    void active(int latent, float z);
  }

  private static Firings.Watcher watcher(Side side, ActivationListener listener) {
    return new Firings.Watcher() {
      @Override
      public void active(int latent, float z) {
        listener.active(latent, z);
      }

      @Override
      public void sequence(int latent, int active, int rows) {
        side.addSequence(latent, active, rows);
      }

      @Override
      public void sequenceEnds(int rows) {
        side.endSequence(rows);
      }
    };
  }

  private void addText(int latent, float z) {
    if (textCount == textLatents.length) {
      int longer = Math.toIntExact(Math.min(Integer.MAX_VALUE - 8, 2L * textCount));
      textLatents = Arrays.copyOf(textLatents, longer);
      textValues = Arrays.copyOf(textValues, longer);
    }
    textLatents[textCount] = latent;
    textValues[textCount++] = z;
  }

  private void sortText() {
    starts = new int[dSae + 1];
    for (int i = 0; i < textCount; i++) {
      starts[textLatents[i] + 1]++;
    }
    for (int latent = 0; latent < dSae; latent++) {
      starts[latent + 1] += starts[latent];
    }
    float[] sorted = new float[textCount];
    int[] next = starts.clone();
    for (int i = 0; i < textCount; i++) {
      sorted[next[textLatents[i]]++] = textValues[i];
    }
    for (int latent = 0; latent < dSae; latent++) {
      Arrays.sort(sorted, starts[latent], starts[latent + 1]);
    }
    textValues = sorted;
    textLatents = new int[0];
  }

  private void addNoise(int latent, float z) {
    int from = starts[latent];
    int to = starts[latent + 1];
    int below = firstAbove(Math.nextDown(z), from, to) - from;
    int notAbove = firstAbove(z, from, to) - from;
    wins[latent] += 2 * (text.rows - (to - from)) + below + notAbove;
  }

  /** The first index whose value is above z. */
  private int firstAbove(float z, int from, int to) {
    int low = from;
    int high = to;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (textValues[middle] > z) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  /** Tests each latent. */
  NoiseAgainstText result(double falseDiscoveryRate, double minimumRatio) {
    MannWhitney[] tests = new MannWhitney[dSae];
    double[] pValues = new double[dSae];
    for (int latent = 0; latent < dSae; latent++) {
      tests[latent] = MannWhitney.test(noise.byLevel(latent), text.byLevel(latent));
      pValues[latent] = tests[latent].pValue();
    }
    double[] adjusted = MannWhitney.adjusted(pValues);
    List<OfLatent> latents = new ArrayList<>();
    for (int latent = 0; latent < dSae; latent++) {
      double ratio = noise.smoothedRate(latent) / text.smoothedRate(latent);
      boolean significant = adjusted[latent] <= falseDiscoveryRate;
      double sequenceAuc = tests[latent].auc();
      Verdict verdict =
          significant && sequenceAuc > 0.5 && ratio >= minimumRatio
              ? Verdict.NOISE
              : significant && sequenceAuc < 0.5 && 1 / ratio >= minimumRatio
                  ? Verdict.TEXT
                  : Verdict.NEITHER;
      latents.add(
          new OfLatent(
              latent,
              noise.rate(latent),
              text.rate(latent),
              noise.rate(latent) - text.rate(latent),
              ratio,
              auc(latent),
              sequenceAuc,
              pValues[latent],
              adjusted[latent],
              verdict));
    }
    return summary(latents, falseDiscoveryRate, minimumRatio);
  }

  private double auc(int latent) {
    long silentOnNoise = noise.rows - noise.firings[latent];
    long silentOnText = text.rows - text.firings[latent];
    double twice = wins[latent] + (double) silentOnNoise * silentOnText;
    return twice / (2.0 * noise.rows * text.rows);
  }

  private NoiseAgainstText summary(
      List<OfLatent> latents, double falseDiscoveryRate, double minimumRatio) {
    List<OfLatent> active =
        latents.stream().filter(each -> each.noiseRate() + each.textRate() > 0).toList();
    int onNoise = count(latents, Verdict.NOISE);
    int onText = count(latents, Verdict.TEXT);
    double[] aucs = active.stream().mapToDouble(OfLatent::auc).sorted().toArray();
    int n = aucs.length;
    return new NoiseAgainstText(
        dSae,
        falseDiscoveryRate,
        minimumRatio,
        onNoise,
        (double) onNoise / dSae,
        onText,
        (double) onText / dSae,
        (int) latents.stream().filter(l -> l.adjustedPValue() <= falseDiscoveryRate).count(),
        dSae - n,
        latents.stream().mapToDouble(OfLatent::noiseRate).average().orElse(0),
        latents.stream().mapToDouble(OfLatent::textRate).average().orElse(0),
        n == 0 ? 0.5 : (aucs[(n - 1) / 2] + aucs[n / 2]) / 2,
        Histogram.of(
            active.stream().mapToDouble(l -> Math.log(l.ratio()) / Math.log(2)).toArray(),
            -12,
            12,
            BINS),
        latents);
  }

  private static int count(List<OfLatent> latents, Verdict verdict) {
    return (int) latents.stream().filter(latent -> latent.verdict() == verdict).count();
  }
}
