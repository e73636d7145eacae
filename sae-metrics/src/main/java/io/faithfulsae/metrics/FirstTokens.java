package io.faithfulsae.metrics;

import java.util.List;

/**
 * The tokens that come first in a data set, after BOS, against the model's own distribution there:
 * a data set sampled from the model at temperature 1 differs from it only by chance. p is the data
 * set's distribution, q the model's; all in nats.
 *
 * @param sequences number of first tokens; a record whose first token is EOS counts
 * @param withoutFirstToken documents that consist of BOS alone and so have no first token, such as
 *     an empty text without token ids; not counted
 * @param klDataFromModel {@code Σ p ln((p + ε) / (q + ε))}, ε = 1e-10, as in FaithfulSAE's {@code
 *     measure_dataset.py}
 * @param klModelFromData the same with p and q exchanged
 * @param halfJeffreys mean of the two, half the Jeffreys divergence (which that program calls
 *     Jensen-Shannon)
 * @param jensenShannon {@code (KL(p ‖ m) + KL(q ‖ m)) / 2}, m = (p + q) / 2, at most ln 2
 * @param crossEntropy {@code −Σ p ln(q + ε)}
 * @param topOfData the ten most likely tokens of the data set, ties by id
 * @param topOfModel the ten most likely tokens of the model
 * @param sortedData p in descending order, zeros omitted
 * @param sortedModel the largest values of q in descending order, as many as in {@code sortedData}
 */
public record FirstTokens(
    long sequences,
    long withoutFirstToken,
    double klDataFromModel,
    double klModelFromData,
    double halfJeffreys,
    double jensenShannon,
    double crossEntropy,
    List<Share> topOfData,
    List<Share> topOfModel,
    List<Double> sortedData,
    List<Double> sortedModel) {

  /** Copies the lists. */
  public FirstTokens {
    topOfData = List.copyOf(topOfData);
    topOfModel = List.copyOf(topOfModel);
    sortedData = List.copyOf(sortedData);
    sortedModel = List.copyOf(sortedModel);
  }

  /**
   * One token under both distributions.
   *
   * @param token its id
   * @param data share in the data set
   * @param model probability in the model
   */
  public record Share(int token, double data, double model) {}
}
