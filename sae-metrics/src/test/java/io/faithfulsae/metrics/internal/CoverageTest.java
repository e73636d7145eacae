package io.faithfulsae.metrics.internal;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.FakeFeatures.Resamples;
import io.faithfulsae.metrics.internal.GroupDifference.Share;
import java.util.Arrays;
import java.util.List;
import org.apache.commons.math3.random.RandomGenerator;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Each kind of interval that is reported, on 500 samples with a known true value: 95 % intervals
 * contain the true value for 92 to 97 % of the samples (three standard errors below, two above),
 * and their own estimate always.
 */
@Tag("slow")
class CoverageTest {
  private static final int SAMPLES = 500;
  private static final int RESAMPLES = 600;

  private static final int LATENTS = 150;
  private static final int SEQUENCES = 60;
  private static final int TOKENS = 50;
  private static final double LIMIT = 0.1;

  private final RandomGenerator random = Bootstrap.random(20261130);

  /** One sample's interval. */
  private interface Sample {
    BootstrapInterval draw(int number);
  }

  private static void assertCovers(double truth, Sample sample) {
    int covered = 0;
    for (int i = 0; i < SAMPLES; i++) {
      BootstrapInterval seen = sample.draw(i);
      assertTrue(seen.low() <= seen.estimate() && seen.estimate() <= seen.high(), seen.toString());
      covered += seen.low() <= truth && truth <= seen.high() ? 1 : 0;
    }
    double share = (double) covered / SAMPLES;
    assertTrue(share >= 0.92 && share <= 0.97, share + " of the intervals contain " + truth);
  }

  private double[] gamma(int n, double scale) {
    double[] values = new double[n]; // of shape 2: skewed
    Arrays.setAll(
        values, i -> -scale * Math.log(random.nextDouble() * random.nextDouble() + 1e-300));
    return values;
  }

  @Test
  void ofAMean() {
    assertCovers(2, i -> BootstrapInterval.ofMean(gamma(60, 1), RESAMPLES, 0.95, i));
  }

  @Test
  void ofADifferenceOfMeans() {
    assertCovers(
        2 - 2.6,
        i ->
            BootstrapInterval.Difference.ofMeans(gamma(50, 1), gamma(70, 1.3), RESAMPLES, 0.95, i)
                .difference());
  }

  /** Ratios of sums over sequences, like CE difference, loss recovered and explained variance. */
  @Test
  void ofARatioOfSumsOverSequences() {
    assertCovers(
        0.5,
        i -> {
          SequenceSums sums = new SequenceSums(2);
          double[] lengths = gamma(60, 1);
          for (double length : lengths) {
            double level = 0.5 + 0.2 * random.nextGaussian(); // of the whole sequence
            sums.add(length * level, length);
          }
          return sums.intervals(RESAMPLES, totals -> totals[0] / totals[1])[0];
        });
  }

  @Test
  void ofAFakeFeatureRatioOverSequencesAndLatents() {
    double truth = Math.pow(1 - LIMIT, 9); // of rates of Beta(1, 9)
    assertCovers(
        truth,
        i -> {
          Resamples seen = fakeFeatures(factors(), 9);
          double[] ratios = seen.counts().stream().mapToDouble(c -> (double) c / LATENTS).toArray();
          return ShareInterval.wilson(
              seen.ratio(),
              LATENTS,
              ShareInterval.spread(seen.ratio(), ratios),
              0.95,
              ratios.length);
        });
  }

  @Test
  void ofADifferenceOfFakeFeatureRatiosOnTheSameNoise() {
    double truth = Math.pow(1 - LIMIT, 9) - Math.pow(1 - LIMIT, 14);
    assertCovers(
        truth,
        i -> {
          double[] factors = factors();
          List<Resamples> first = List.of(fakeFeatures(factors, 9), fakeFeatures(factors, 9));
          List<Resamples> second = List.of(fakeFeatures(factors, 14), fakeFeatures(factors, 14));
          return FakeFeatures.difference(first, second, 0.95, i).difference();
        });
  }

  /** Each noise sequence makes all latents fire more, or less, at once. */
  private double[] factors() {
    double[] factors = new double[SEQUENCES];
    Arrays.setAll(factors, s -> Math.exp(0.8 * random.nextGaussian() - 0.32));
    return factors;
  }

  private Resamples fakeFeatures(double[] factors, double beta) {
    int[][] counts = new int[SEQUENCES][LATENTS];
    long[] units = new long[SEQUENCES];
    Arrays.fill(units, TOKENS);
    int above = 0;
    for (int latent = 0; latent < LATENTS; latent++) {
      double rate = 1 - Math.pow(random.nextDouble(), 1 / beta);
      long fired = 0;
      for (int s = 0; s < SEQUENCES; s++) {
        double p = Math.min(1, rate * factors[s]);
        for (int t = 0; t < TOKENS; t++) {
          counts[s][latent] += random.nextDouble() < p ? 1 : 0;
        }
        fired += counts[s][latent];
      }
      above += fired > LIMIT * SEQUENCES * TOKENS ? 1 : 0;
    }
    int[] resampled =
        new BlockResampler(counts, units).countsAbove(LIMIT, 200, Bootstrap.random(7));
    return new Resamples(
        LATENTS, (double) above / LATENTS, Arrays.stream(resampled).boxed().toList());
  }

  @Test
  void ofASharedFeatureRatioOverLatents() {
    for (double truth : new double[] {0.35, 0.04}) {
      assertCovers(truth, i -> ShareInterval.wilson(hits(400, truth) / 400.0, 400, 0, 0.95, 0));
    }
  }

  @Test
  void ofADifferenceOfSharedFeatureRatios() {
    assertCovers(
        0.3 - 0.22,
        i ->
            GroupDifference.ofShares(
                    new Share(hits(400, 0.3) / 400.0, 400),
                    new Share(hits(300, 0.22) / 300.0, 300),
                    RESAMPLES,
                    0.95,
                    i)
                .difference());
  }

  private int hits(int n, double share) {
    int hits = 0;
    for (int i = 0; i < n; i++) {
      hits += random.nextDouble() < share ? 1 : 0;
    }
    return hits;
  }

  /**
   * 97 of 100 latents are barely above the threshold: nearly every resample of the sequences drops
   * some of them below and can lift none above, so percentiles exclude the ratio itself.
   */
  @Test
  void aFakeFeatureRatioIsWithinItsIntervalEvenIfPercentilesExcludeIt() {
    int[][] counts = new int[40][100];
    long[] units = new long[40];
    Arrays.fill(units, 1);
    for (int latent = 0; latent < 100; latent++) {
      int fired = latent < 97 ? 3 + latent % 2 : 0; // of 40, at a threshold of 5 %
      for (int i = 0; i < fired; i++) {
        counts[random.nextInt(40)][latent] = 1;
      }
    }
    int above = 0;
    for (int latent = 0; latent < 100; latent++) {
      int place = latent;
      above += Arrays.stream(counts).mapToInt(block -> block[place]).sum() > 2 ? 1 : 0;
    }
    double ratio = above / 100.0;
    double[] ratios =
        Arrays.stream(
                new BlockResampler(counts, units).countsAbove(0.05, 2000, Bootstrap.random(3)))
            .mapToDouble(count -> count / 100.0)
            .sorted()
            .toArray();
    assertTrue(ratios[1949] < ratio, "the 97.5 % percentile " + ratios[1949] + " of " + ratio);
    BootstrapInterval seen =
        ShareInterval.wilson(ratio, 100, ShareInterval.spread(ratio, ratios), 0.95, 2000);
    assertTrue(seen.low() < ratio && ratio < seen.high() && seen.high() <= 1, seen.toString());
  }
}
