package io.faithfulsae;

import io.faithfulsae.internal.NormSurvey;
import io.faithfulsae.io.Expected;
import java.io.IOException;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/**
 * Selects the token positions whose activations reach the SAE, in training and in evaluation.
 * Massive activations (mostly at BOS) can carry 99 % of the energy; an SAE trained on them learns
 * little else.
 *
 * @param skipPositions number of leading positions to drop from every sequence; the study's default
 *     is 1 (BOS)
 * @param excludedTokens ids of tokens to drop
 * @param maxNorm rows with a larger L2 norm are dropped; {@link Double#POSITIVE_INFINITY} for no
 *     bound
 */
public record ActivationFilter(int skipPositions, Set<Integer> excludedTokens, double maxNorm) {

  /** Drops nothing, as the study's authors did. */
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
          Expected.message(
              "skipPositions >= 0 and maxNorm > 0",
              skipPositions + " and " + maxNorm,
              "see ActivationFilter.NONE"));
    }
    // Sorted, so that the order is the same in every process: a resumed run is identified by it.
    excludedTokens = Collections.unmodifiableSet(new TreeSet<>(excludedTokens));
  }

  /** Whether a token at a position is kept, regardless of its norm. */
  public boolean keeps(int position, int token) {
    return position >= skipPositions && !excludedTokens.contains(token);
  }

  /** A copy with another bound on the norm. */
  public ActivationFilter withMaxNorm(double bound) {
    return new ActivationFilter(skipPositions, excludedTokens, bound);
  }

  /**
   * A copy whose bound is 10 × the median norm of the rows that this filter keeps in the first
   * sequences of a text.
   *
   * <p><b>Source</b>: dictionary_learning's {@code max_activation_norm_multiple}.
   *
   * @param batchSequences sequences per forward pass
   * @param sequences number of sequences to measure, at least 1
   */
  public ActivationFilter calibrated(
      LanguageModel model, HookPoint hook, TokenSource tokens, int batchSequences, int sequences)
      throws IOException {
    ActivationFilter unbounded = withMaxNorm(Double.POSITIVE_INFINITY);
    return withMaxNorm(
        10 * unbounded.norms(model, hook, tokens, batchSequences, sequences).median());
  }

  /**
   * Measures the norms of activations in the first sequences of a text.
   *
   * @param batchSequences sequences per forward pass
   * @param sequences number of sequences to measure, at least 1
   * @throws IllegalArgumentException if the filter keeps none of their rows
   */
  public Norms norms(
      LanguageModel model, HookPoint hook, TokenSource tokens, int batchSequences, int sequences)
      throws IOException {
    NormSurvey.Result found =
        NormSurvey.run(
            (position, token, norm) -> keeps(position, token) && norm <= maxNorm,
            model,
            hook,
            tokens,
            batchSequences,
            sequences);
    return new Norms(found.kept(), found.median(), found.meanByPosition());
  }

  /**
   * Numbers of rows that a filter kept and dropped.
   *
   * @param kept rows that passed
   * @param byPosition rows dropped because of their position
   * @param byToken rows dropped because of their token
   * @param byNorm rows dropped because of their norm
   */
  public record Counts(long kept, long byPosition, long byToken, long byNorm) {
    /** No rows. */
    public static final Counts ZERO = new Counts(0, 0, 0, 0);

    /** The sum of both. */
    public Counts plus(Counts other) {
      return new Counts(
          kept + other.kept,
          byPosition + other.byPosition,
          byToken + other.byToken,
          byNorm + other.byNorm);
    }
  }

  /**
   * L2 norms of activations.
   *
   * @param rows rows that the filter kept
   * @param median of the norms of those rows
   * @param meanByPosition mean norm at each position of a sequence, over all rows, kept or not
   */
  public record Norms(long rows, double median, List<Double> meanByPosition) {
    /** Copies the list. */
    public Norms {
      meanByPosition = List.copyOf(meanByPosition);
    }
  }
}
