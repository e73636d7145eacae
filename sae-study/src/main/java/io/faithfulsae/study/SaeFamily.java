package io.faithfulsae.study;

import io.faithfulsae.Activation;

/** The activations that can be trained. */
public enum SaeFamily {
  /** The k largest of a row. */
  TOPK,
  /** The k largest by size, with their signs. */
  ABSTOPK,
  /** One of each of k groups. */
  GROUPMAX,
  /** k per row on average, with a threshold after training. */
  BATCHTOPK,
  /** All above 0. */
  RELU,
  /** All above their thresholds. */
  JUMPRELU,
  /** Gated. */
  GATED;

  /** Whether k is a setting of it. */
  public boolean hasK() {
    return this == TOPK || this == ABSTOPK || this == GROUPMAX || this == BATCHTOPK;
  }

  /** Whether an SAE can be evaluated with any other k. */
  boolean takesAnyK() {
    return hasK() && this != GROUPMAX; // whose k divides d_sae
  }

  boolean isSparseByLoss() {
    return !hasK();
  }

  /**
   * The activation.
   *
   * @param k not used by one without
   */
  public Activation activation(int k) {
    return switch (this) {
      case TOPK -> new Activation.TopK(k);
      case ABSTOPK -> new Activation.AbsTopK(k);
      case GROUPMAX -> new Activation.GroupMax(k);
      case BATCHTOPK -> new Activation.BatchTopK(k, null);
      case RELU -> new Activation.Relu();
      case JUMPRELU -> new Activation.JumpRelu();
      case GATED -> new Activation.Gated();
    };
  }
}
