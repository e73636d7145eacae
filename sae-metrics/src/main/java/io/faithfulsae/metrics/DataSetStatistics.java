package io.faithfulsae.metrics;

import java.util.List;

/**
 * Size and diversity of a data set: a narrow one could look stable for the wrong reason.
 *
 * @param sequences number of sequences
 * @param tokens number of tokens, BOS included
 * @param distinctTokens number of distinct tokens
 * @param distinctFirstTokens number of distinct tokens at position 1, right after BOS
 * @param distinctSequences number of distinct sequences
 * @param meanLength mean tokens per sequence
 * @param lengthDeviation standard deviation of the length (divided by n)
 * @param minLength shortest sequence
 * @param maxLength longest sequence
 * @param tokenEntropy entropy of the distribution of tokens, in nats
 * @param distinctNGrams share of distinct n-grams among all, for n = 1, 2, 3 and 4 ("distinct-n",
 *     Li et al., 2016, arXiv 1510.03055); n-grams do not cross sequence boundaries. 0 if there are
 *     none
 * @param growth number of distinct tokens among the first {@code tokens}
 */
public record DataSetStatistics(
    long sequences,
    long tokens,
    int distinctTokens,
    int distinctFirstTokens,
    long distinctSequences,
    double meanLength,
    double lengthDeviation,
    int minLength,
    int maxLength,
    double tokenEntropy,
    List<Double> distinctNGrams,
    List<Growth> growth) {

  /** Copies the lists. */
  public DataSetStatistics {
    distinctNGrams = List.copyOf(distinctNGrams);
    growth = List.copyOf(growth);
  }

  /**
   * A point on the vocabulary growth curve.
   *
   * @param tokens a power of two, or all
   * @param types distinct tokens among the first {@code tokens}
   */
  public record Growth(long tokens, int types) {}
}
