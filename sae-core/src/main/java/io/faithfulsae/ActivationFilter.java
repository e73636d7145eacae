package io.faithfulsae;

import java.util.Set;

/**
 * Which positions of a model's text reach the SAE, in training and evaluation alike. Massive
 * activations (BOS above all) can carry 99 % of the energy, so that an SAE trained on them learns
 * nothing else.
 *
 * @param skipPositions leading positions of every sequence that are left out; the study's new
 *     default is 1 (BOS)
 * @param excludedTokens token ids whose positions are left out
 * @param maxNorm rows with a larger L2 norm are left out; {@link Double#POSITIVE_INFINITY} for no
 *     bound
 */
public record ActivationFilter(int skipPositions, Set<Integer> excludedTokens, double maxNorm) {

  /** Leaves out nothing, as the authors of the study did. */
  public static final ActivationFilter NONE =
      new ActivationFilter(0, Set.of(), Double.POSITIVE_INFINITY);

  /**
   * Checks the bounds and copies the set.
   *
   * @throws IllegalArgumentException if {@code skipPositions < 0} or {@code maxNorm <= 0}
   */
  public ActivationFilter {
    if (skipPositions < 0 || !(maxNorm > 0)) {
      throw new IllegalArgumentException(
          "expected skipPositions >= 0 and maxNorm > 0, got "
              + skipPositions
              + " and "
              + maxNorm
              + "; mend: see ActivationFilter.NONE");
    }
    excludedTokens = Set.copyOf(excludedTokens);
  }

  /** Whether a token at a position is kept, before its norm is known. */
  public boolean keeps(int position, int token) {
    return position >= skipPositions && !excludedTokens.contains(token);
  }
}
