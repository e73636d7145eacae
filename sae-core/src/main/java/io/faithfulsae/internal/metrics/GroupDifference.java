package io.faithfulsae.internal.metrics;

import io.faithfulsae.internal.Rng.Purpose;
import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.metrics.FakeFeatures.Resamples;
import io.faithfulsae.metrics.SharedFeatures;
import java.util.List;
import org.apache.commons.math3.random.RandomGenerator;

/** Bootstrap tests between two groups' ratios. */
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
              + "; mend: measure both");
    }
    int resamples = first.get(0).counts().size();
    RandomGenerator random = Bootstrap.random(Purpose.FAKE_FEATURE_GROUPS, seed);
    return Bootstrap.difference(
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
                + "; mend: measure all with the same options");
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
          "expected at least one resample, got " + resamples + "; mend: 10,000 are usual");
    }
    RandomGenerator random = Bootstrap.random(Purpose.SHARED_FEATURE_PAIRS, seed);
    return Bootstrap.difference(
        first.matched(),
        shares(first, resamples, random),
        second.matched(),
        shares(second, resamples, random),
        level);
  }

  private static double[] shares(SharedFeatures pair, int resamples, RandomGenerator random) {
    int shared = (int) Math.round(pair.matched() * pair.matchedPairs());
    Bootstrap.Hits hits = new Bootstrap.Hits(pair.matchedPairs(), random);
    double[] shares = new double[resamples];
    for (int b = 0; b < resamples; b++) {
      shares[b] = (double) hits.draw(shared) / pair.matchedPairs();
    }
    return shares;
  }
}
