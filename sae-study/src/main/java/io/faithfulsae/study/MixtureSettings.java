package io.faithfulsae.study;

import io.faithfulsae.study.StudyConfig.DataSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/** Data sets that are mixtures of others. */
final class MixtureSettings {
  private MixtureSettings() {}

  /**
   * Checks a data set's shares, if it is a mixture.
   *
   * @param at name of the setting
   * @param all data sets of the study
   * @throws IllegalArgumentException if they are not shares of other data sets, or do not sum to 1
   */
  static void check(String at, DataSet set, List<DataSet> all) {
    Map<String, Double> shares = set.mixture();
    if (shares == null) {
      return;
    }
    Set<String> plain =
        all.stream()
            .filter(other -> other.mixture() == null)
            .map(DataSet::name)
            .collect(Collectors.toSet());
    StudyConfig.require(
        plain.containsAll(shares.keySet()), at, "shares of " + plain, shares.keySet());
    StudyConfig.require(
        shares.values().stream().allMatch(share -> share != null && share >= 0 && share <= 1)
            && Math.abs(shares.values().stream().mapToDouble(share -> share).sum() - 1) < 1e-6,
        at,
        "shares in [0, 1] that sum to 1",
        shares);
  }

  /** The share of a data set that the model generated itself, in [0, 1]. */
  static double faithfulShare(DataSet set, List<DataSet> all) {
    Map<String, Double> shares = set.mixture();
    if (shares == null) {
      return set.generate() == null ? 0 : 1;
    }
    return all.stream()
        .filter(part -> part.generate() != null)
        .mapToDouble(part -> shares.getOrDefault(part.name(), 0.0))
        .sum();
  }
}
