package io.faithfulsae.metrics.internal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.metrics.BootstrapInterval;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import org.apache.commons.math3.distribution.BinomialDistribution;
import org.apache.commons.math3.distribution.NormalDistribution;
import org.apache.commons.math3.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BootstrapTest {
  private static final int RESAMPLES = 20_000;

  @TempDir Path folder;

  @Test
  void agreesWithSciPyBcaAndNumPyStudentizedInterval() throws IOException {
    ObjectMapper json = new ObjectMapper();
    JsonNode golden = json.readTree(Goldens.copy("noise.json", folder).toFile()).get("bca");
    double[] first = json.convertValue(golden.get("first"), double[].class);
    double[] second = json.convertValue(golden.get("second"), double[].class);
    double[] share = json.convertValue(golden.get("share"), double[].class);
    assertInterval(golden.get("mean"), BootstrapInterval.ofMean(first, RESAMPLES, 0.95, 1));
    // Means of a share come in steps of 1 / 120; each end may be off by one.
    BootstrapInterval ofShare = BootstrapInterval.ofMean(share, RESAMPLES, 0.95, 1);
    assertEquals(golden.get("meanOfShare").get(0).doubleValue(), ofShare.low(), 1.01 / 120);
    assertEquals(golden.get("meanOfShare").get(1).doubleValue(), ofShare.high(), 1.01 / 120);
    assertInterval(
        golden.get("difference"),
        BootstrapInterval.Difference.ofMeans(first, second, RESAMPLES, 0.95, 1).difference());
    SequenceSums sums = new SequenceSums(2);
    for (int i = 0; i < second.length; i++) {
      sums.add(first[i], second[i]);
    }
    assertInterval(golden.get("ratio"), sums.intervals(totals -> totals[0] / totals[1])[0]);
  }

  private static void assertInterval(JsonNode golden, BootstrapInterval seen) {
    double width = golden.get(1).doubleValue() - golden.get(0).doubleValue();
    // A 2.5 % quantile of 10,000 draws has a standard error of 0.7 % of the interval's width, which
    // the bias correction doubles.
    assertEquals(golden.get(0).doubleValue(), seen.low(), 0.04 * width);
    assertEquals(golden.get(1).doubleValue(), seen.high(), 0.04 * width);
  }

  @Test
  void pValueIsBelowOneMinusLevelExactlyIfTheIntervalExcludesZero() {
    RandomGenerator random = Bootstrap.random(12);
    int left = 0;
    for (int i = 0; i < 60; i++) {
      double[] first = new double[25];
      double[] second = new double[15];
      Arrays.setAll(first, any -> -Math.log(random.nextDouble()) + 0.4);
      Arrays.setAll(second, any -> -Math.log(random.nextDouble()));
      BootstrapInterval.Difference seen =
          BootstrapInterval.Difference.ofMeans(first, second, 2000, 0.9, i);
      boolean leavesOut = seen.difference().low() > 0 || seen.difference().high() < 0;
      left += leavesOut ? 1 : 0;
      if (Math.abs(seen.pValue() - 0.1) > 0.003) { // quantiles lie between two resamples
        assertEquals(leavesOut, seen.pValue() < 0.1, seen.toString());
      }
    }
    assertTrue(left > 5 && left < 55, left + " of 60 exclude 0");
  }

  @Test
  void findsADifferenceOnlyIfThereIsOne() {
    double[] high = new double[300];
    double[] low = new double[300];
    Arrays.fill(high, 0, 90, 1);
    Arrays.fill(low, 0, 30, 1);
    BootstrapInterval.Difference seen =
        BootstrapInterval.Difference.ofMeans(high, low, RESAMPLES, 0.95, 3);
    assertEquals(0.2, seen.difference().estimate(), 1e-12);
    assertTrue(seen.difference().low() > 0.1, seen.toString());
    assertTrue(seen.pValue() < 1e-3, seen.toString());
    BootstrapInterval.Difference none =
        BootstrapInterval.Difference.ofMeans(high, high, RESAMPLES, 0.95, 3);
    assertTrue(none.pValue() > 0.9, none.toString());
    assertTrue(none.difference().low() < 0 && none.difference().high() > 0, none.toString());
  }

  @Test
  void dependsOnTheSeedAlone() {
    double[] sample = {1, 2, 5, 9, 11};
    assertEquals(
        BootstrapInterval.ofMean(sample, 100, 0.95, 5),
        BootstrapInterval.ofMean(sample, 100, 0.95, 5));
    assertNotEquals(
        BootstrapInterval.ofMean(sample, 100, 0.95, 5),
        BootstrapInterval.ofMean(sample, 100, 0.95, 6));
  }

  @Test
  void rejectsEmptySamplesAndLevelsOutOfRange() {
    assertThrows(
        IllegalArgumentException.class, () -> BootstrapInterval.ofMean(new double[0], 10, 0.95, 1));
    assertThrows(
        IllegalArgumentException.class, () -> BootstrapInterval.ofMean(new double[1], 0, 0.95, 1));
    assertThrows(
        IllegalArgumentException.class, () -> BootstrapInterval.ofMean(new double[1], 10, 95, 1));
  }

  @Test
  void hitsAreBinomial() {
    RandomGenerator random = Bootstrap.random(9);
    Bootstrap.Hits hits = new Bootstrap.Hits(50, random);
    int[] seen = new int[51];
    int draws = 100_000;
    for (int i = 0; i < draws; i++) {
      seen[hits.draw(5)]++;
    }
    BinomialDistribution exact = new BinomialDistribution(50, 0.1);
    for (int count = 0; count <= 50; count++) {
      double p = exact.probability(count);
      // Five standard errors.
      assertEquals(draws * p, seen[count], 1 + 5 * Math.sqrt(draws * p), "count " + count);
    }
    assertEquals(0, hits.draw(0));
    assertEquals(50, hits.draw(50));
  }

  @Test
  void blockResamplesMatchDirectCounting() {
    RandomGenerator random = Bootstrap.random(4);
    int blocks = 7;
    int latents = 40;
    int[][] counts = new int[blocks][latents];
    long[] units = new long[blocks];
    for (int block = 0; block < blocks; block++) {
      units[block] = block == 2 ? 0 : 20 + random.nextInt(10);
      for (int latent = 0; latent < latents; latent++) {
        // Some never fire, some always do, most are near the threshold.
        double p = latent < 5 ? 0 : latent > 35 ? 1 : latent / 60.0;
        counts[block][latent] = (int) (units[block] * p + random.nextInt(3)) / 2 * 2;
        counts[block][latent] = (int) Math.min(units[block], counts[block][latent]);
      }
    }
    int[] seen = new BlockResampler(counts, units).countsAbove(0.3, 500, Bootstrap.random(6));
    RandomGenerator same = Bootstrap.random(6);
    int[] expected = new int[500];
    for (int b = 0; b < 500; b++) {
      long[] fired = new long[latents];
      long all = 0;
      for (int i = 0; i < blocks; i++) {
        int block = same.nextInt(blocks);
        all += units[block];
        for (int latent = 0; latent < latents; latent++) {
          fired[latent] += counts[block][latent];
        }
      }
      long total = all;
      expected[b] = (int) Arrays.stream(fired).filter(f -> (double) f / total > 0.3).count();
    }
    assertArrayEquals(expected, seen);
    assertTrue(Arrays.stream(seen).distinct().count() > 2, "the case must be undecided");
  }

  @Test
  void hasTheSpreadOfTokensWhenBlocksAreMany() {
    // One latent that fires at a quarter of 40,000 tokens in 500 blocks; the threshold is 0.252.
    RandomGenerator random = Bootstrap.random(8);
    int[][] counts = new int[500][1];
    long[] units = new long[500];
    Arrays.fill(units, 80);
    long fired = 0;
    for (int[] block : counts) {
      for (int token = 0; token < 80; token++) {
        block[0] += random.nextDouble() < 0.25 ? 1 : 0;
      }
      fired += block[0];
    }
    double rate = fired / 40_000.0;
    int[] above =
        new BlockResampler(counts, units).countsAbove(0.252, RESAMPLES, Bootstrap.random(2));
    double expected =
        1
            - new NormalDistribution(rate, Math.sqrt(rate * (1 - rate) / 40_000))
                .cumulativeProbability(0.252);
    assertTrue(expected > 0.05 && expected < 0.95, "expected " + expected);
    assertEquals(expected, Arrays.stream(above).average().orElseThrow(), 0.04);
  }
}
