package io.faithfulsae;

import io.faithfulsae.internal.NormSurvey;
import java.io.IOException;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

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
              + "; see ActivationFilter.NONE");
    }
    // In one order in every process: it is written, and part of what a resumed run is known by.
    excludedTokens = Collections.unmodifiableSet(new TreeSet<>(excludedTokens));
  }

  /** Whether a token at a position is kept, before its norm is known. */
  public boolean keeps(int position, int token) {
    return position >= skipPositions && !excludedTokens.contains(token);
  }

  /** The same with another bound on the norm. */
  public ActivationFilter withMaxNorm(double bound) {
    return new ActivationFilter(skipPositions, excludedTokens, bound);
  }

  /**
   * The same with the bound 10 × the median norm of the rows that it keeps in the first sequences
   * of a text.
   *
   * <p><b>Source</b>: dictionary_learning's {@code max_activation_norm_multiple}.
   *
   * @param batchSequences sequences a forward pass
   * @param sequences how many sequences are looked at, at least 1
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
   * @param batchSequences sequences a forward pass
   * @param sequences how many sequences are looked at, at least 1
   * @throws IllegalArgumentException if the filter keeps no row of them
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
   * What a filter kept and left out, in rows.
   *
   * @param kept rows that passed
   * @param byPosition left out for their position
   * @param byToken left out for their token
   * @param byNorm left out for their norm
   */
  public record Counts(long kept, long byPosition, long byToken, long byNorm) {
    /** Nothing yet. */
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
