package io.faithfulsae.synthetic;

/**
 * A forest over features: a child fires only where its parent does. Features are numbered level by
 * level: first the roots, then the children of root 0, of root 1 and so on, then theirs. Features
 * that are left over stand alone; where there are too few, the forest is cut off.
 *
 * <p><b>Source</b>: SAELens' {@code sae_lens.synthetic.hierarchy}. Its ranges of branching factors
 * and of depths that may be exclusive are left out.
 *
 * @param roots number of trees, at least 1
 * @param branching children of each feature that has any, at least 2
 * @param depth levels below the roots, at least 1
 * @param exclusiveShare share of the parents (of at least two children) whose children exclude each
 *     other: of those that would fire, one is drawn. They are chosen by the seed, rounded down.
 * @param compensate whether firing probabilities are raised so that each feature fires about as
 *     often as it would without the forest: divided by the parent's, and times 1 + the expected
 *     number of rivals where children exclude each other (an approximation); at most 1
 * @param scaleByParent whether a child's coefficient is multiplied by its parent's over the
 *     parent's mean, so that a strong parent has strong children
 */
public record Hierarchy(
    int roots,
    int branching,
    int depth,
    double exclusiveShare,
    boolean compensate,
    boolean scaleByParent) {

  /**
   * Checks the numbers.
   *
   * @throws IllegalArgumentException if one is out of range
   */
  public Hierarchy {
    if (roots < 1 || branching < 2 || depth < 1 || !(exclusiveShare >= 0 && exclusiveShare <= 1)) {
      throw new IllegalArgumentException(
          "expected roots >= 1, branching >= 2, depth >= 1 and exclusiveShare in [0, 1], got %d, %d, %d and %s; change that value"
              .formatted(roots, branching, depth, exclusiveShare));
    }
  }

  /** Trees whose children do not exclude each other. */
  public static Hierarchy of(int roots, int branching, int depth) {
    return new Hierarchy(roots, branching, depth, 0, false, false);
  }
}
