package io.faithfulsae.synthetic;

import io.faithfulsae.io.Expected;

/**
 * A forest over features: a child fires only if its parent does. Features are numbered level by
 * level: first the roots, then the children of root 0, of root 1 and so on, then their children.
 * Extra features are independent; if there are too few, the forest is truncated.
 *
 * <p><b>Source</b>: SAELens' {@code sae_lens.synthetic.hierarchy}. Its ranges of branching factors
 * and of exclusive depths are not supported.
 *
 * @param roots number of trees, at least 1
 * @param branching children of each feature that has any, at least 2
 * @param depth levels below the roots, at least 1
 * @param exclusiveShare share of the parents with at least two children whose children are mutually
 *     exclusive: of those that would fire, one is drawn. The parents are drawn from the seed; their
 *     number is rounded down.
 * @param compensate whether firing probabilities are raised so that each feature fires about as
 *     often as it would without the forest: divided by the parent's, and multiplied by 1 + the
 *     expected number of rivals if children are mutually exclusive (an approximation); at most 1
 * @param scaleByParent whether a child's coefficient is multiplied by the ratio of its parent's
 *     coefficient to the parent's mean, so that a strong parent has strong children
 */
public record Hierarchy(
    int roots,
    int branching,
    int depth,
    double exclusiveShare,
    boolean compensate,
    boolean scaleByParent) {

  /**
   * Checks the ranges.
   *
   * @throws IllegalArgumentException if one is out of range
   */
  public Hierarchy {
    if (roots < 1 || branching < 2 || depth < 1 || !(exclusiveShare >= 0 && exclusiveShare <= 1)) {
      throw new IllegalArgumentException(
          Expected.message(
              "roots >= 1, branching >= 2, depth >= 1 and exclusiveShare in [0, 1]",
              "%d, %d, %d and %s".formatted(roots, branching, depth, exclusiveShare),
              "change that value"));
    }
  }

  /** Trees without mutually exclusive children. */
  public static Hierarchy of(int roots, int branching, int depth) {
    return new Hierarchy(roots, branching, depth, 0, false, false);
  }
}
