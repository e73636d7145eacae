package io.faithfulsae.metrics.internal;

import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.metrics.FakeFeatures.Resamples;
import io.faithfulsae.metrics.SharedFeatures;
import io.faithfulsae.random.Rng.Purpose;
import java.util.List;
import org.apache.commons.math3.random.RandomGenerator;

/**
 * Tests between two groups' ratios by resampling latents and, for fake features, noise sequences.
 */
public final class GroupDifference {
  private GroupDifference() {}

  /** Mean Fake Feature Ratio of the first group minus that of the second. */
  public static BootstrapInterval.Difference ofFakeFeatures(
      List<Resamples> first, List<Resamples> second, double level, long seed) {
    if (first.isEmpty() || second.isEmpty()) {
      throw new IllegalArgumentException(
          "expected at least one SAE in each group, got "
              + first.size()
              + " and "
              + second.size()
              + "; measure both");
    }
    int resamples = first.get(0).counts().size();
    RandomGenerator random = Bootstrap.random(Purpose.FAKE_FEATURE_GROUPS, seed);
    return ShareInterval.difference(
        first.stream().mapToDouble(Resamples::ratio).average().orElseThrow(),
        meanRatios(first, resamples, random),
        second.stream().mapToDouble(Resamples::ratio).average().orElseThrow(),
        meanRatios(second, resamples, random),
        level);
  }

  private static double[] meanRatios(List<Resamples> group, int resamples, RandomGenerator random) {
    double[] means = new double[resamples];
    for (Resamples sae : group) {
      List<Integer> counts = sae.counts();
      if (counts.size() != resamples || resamples == 0) {
        throw new IllegalArgumentException(
            "expected results of one number of resamples, got "
                + resamples
                + " and "
                + counts.size()
                + "; measure all with the same options");
      }
      Bootstrap.Hits hits = new Bootstrap.Hits(sae.dSae(), random);
      for (int b = 0; b < resamples; b++) {
        means[b] += (double) hits.draw(counts.get(b)) / sae.dSae() / group.size();
      }
    }
    return means;
  }

  /** Matched Shared Feature Ratio of the first pair of SAEs minus that of the second. */
  public static BootstrapInterval.Difference ofSharedFeatures(
      SharedFeatures first, SharedFeatures second, int resamples, double level, long seed) {
    if (resamples < 1) {
      throw new IllegalArgumentException(
          "expected at least one resample, got " + resamples + "; 10,000 are usual");
    }
    return ofShares(
        first.matched(),
        first.matchedPairs(),
        second.matched(),
        second.matchedPairs(),
        resamples,
        level,
        seed);
  }

  /** A share of the first number of things minus a share of the second. */
  static BootstrapInterval.Difference ofShares(
      double first,
      int ofFirst,
      double second,
      int ofSecond,
      int resamples,
      double level,
      long seed) {
    RandomGenerator random = Bootstrap.random(Purpose.SHARED_FEATURE_PAIRS, seed);
    return ShareInterval.difference(
        first,
        shares(first, ofFirst, resamples, random),
        second,
        shares(second, ofSecond, resamples, random),
        level);
  }

  /** The matched Shared Feature Ratio with the interval of a share of independent pairs. */
  public static BootstrapInterval sharedFeatures(SharedFeatures pair, double level) {
    return ShareInterval.wilson(pair.matched(), pair.matchedPairs(), 0, level, 0);
  }

  private static double[] shares(double share, int of, int resamples, RandomGenerator random) {
    int hits = (int) Math.round(share * of);
    Bootstrap.Hits draws = new Bootstrap.Hits(of, random);
    double[] shares = new double[resamples];
    for (int b = 0; b < resamples; b++) {
      shares[b] = (double) draws.draw(hits) / of;
    }
    return shares;
  }
}
