package io.faithfulsae.metrics.internal;

import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.random.Rng.Purpose;
import java.util.List;
import org.apache.commons.math3.random.RandomGenerator;

/**
 * Tests between two groups' shares of latents, or of matched pairs of them, by resampling what the
 * shares are of.
 */
public final class GroupDifference {
  private GroupDifference() {}

  /**
   * A share of some things.
   *
   * @param of number of things
   */
  public record Share(double share, int of) {}

  /**
   * A share of latents that was resampled over sequences.
   *
   * @param of number of latents
   * @param counts hits in each resample
   */
  public record Resampled(double share, int of, List<Integer> counts) {}

  /** The mean share of the first group minus that of the second. */
  public static BootstrapInterval.Difference ofMeans(
      List<Resampled> first, List<Resampled> second, double level, long seed) {
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
        first.stream().mapToDouble(Resampled::share).average().orElseThrow(),
        meanShares(first, resamples, random),
        second.stream().mapToDouble(Resampled::share).average().orElseThrow(),
        meanShares(second, resamples, random),
        level);
  }

  private static double[] meanShares(List<Resampled> group, int resamples, RandomGenerator random) {
    double[] means = new double[resamples];
    for (Resampled sae : group) {
      List<Integer> counts = sae.counts();
      if (counts.size() != resamples || resamples == 0) {
        throw new IllegalArgumentException(
            "expected results of one number of resamples, got "
                + resamples
                + " and "
                + counts.size()
                + "; measure all with the same options");
      }
      Bootstrap.Hits hits = new Bootstrap.Hits(sae.of(), random);
      for (int b = 0; b < resamples; b++) {
        means[b] += (double) hits.draw(counts.get(b)) / sae.of() / group.size();
      }
    }
    return means;
  }

  /** One share minus another. */
  public static BootstrapInterval.Difference ofShares(
      Share first, Share second, int resamples, double level, long seed) {
    if (resamples < 1) {
      throw new IllegalArgumentException(
          "expected at least one resample, got " + resamples + "; 10,000 are usual");
    }
    RandomGenerator random = Bootstrap.random(Purpose.SHARED_FEATURE_PAIRS, seed);
    return ShareInterval.difference(
        first.share(),
        shares(first, resamples, random),
        second.share(),
        shares(second, resamples, random),
        level);
  }

  private static double[] shares(Share share, int resamples, RandomGenerator random) {
    int hits = (int) Math.round(share.share() * share.of());
    Bootstrap.Hits draws = new Bootstrap.Hits(share.of(), random);
    double[] shares = new double[resamples];
    for (int b = 0; b < resamples; b++) {
      shares[b] = (double) draws.draw(hits) / share.of();
    }
    return shares;
  }
}
