package io.faithfulsae.metrics.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.random.Rng.Purpose;
import java.util.List;
import org.apache.commons.math3.random.RandomGenerator;

/** Compares shares of latents, or of matched pairs of latents, between two groups by resampling. */
public final class GroupDifference {
  private GroupDifference() {}

  /**
   * A share of a number of items.
   *
   * @param of number of items
   */
  public record Share(double share, int of) {}

  /**
   * A share of latents that was resampled over sequences.
   *
   * @param of number of latents
   * @param counts hits in each resample
   */
  public record Resampled(double share, int of, List<Integer> counts) {}

  /** The difference between the mean shares of two groups, first minus second. */
  public static BootstrapInterval.Difference ofMeans(
      List<Resampled> first, List<Resampled> second, double level, long seed) {
    if (first.isEmpty() || second.isEmpty()) {
      throw new IllegalArgumentException(
          Expected.message(
              "at least one SAE in each group",
              first.size() + " and " + second.size(),
              "measure both groups"));
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
            Expected.message(
                "results with the same number of resamples, at least 1",
                resamples + " and " + counts.size(),
                "measure all SAEs with the same options"));
      }
      Bootstrap.Hits hits = new Bootstrap.Hits(sae.of(), random);
      for (int b = 0; b < resamples; b++) {
        means[b] += (double) hits.draw(counts.get(b)) / sae.of() / group.size();
      }
    }
    return means;
  }

  /** The difference between two shares, first minus second. */
  public static BootstrapInterval.Difference ofShares(
      Share first, Share second, int resamples, double level, long seed) {
    Expected.atLeast("resamples", resamples, 1, "10,000 is common");
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
