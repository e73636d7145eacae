package io.faithfulsae.synthetic.internal;

import io.faithfulsae.random.Rng;
import io.faithfulsae.synthetic.Hierarchy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The trees of a {@link Hierarchy}, and their effect on coefficients. */
public final class FeatureForest {
  private static final int NONE = -1;

  private final Hierarchy hierarchy;
  private final int[] parents; // lower than the child's index, or NONE
  private final int[] firstChild; // children of a feature are consecutive
  private final int[] childCount;
  private final boolean[] exclusive; // by parent: its children are mutually exclusive

  private FeatureForest(Hierarchy hierarchy, int features) {
    this.hierarchy = hierarchy;
    this.parents = new int[features];
    this.firstChild = new int[features];
    this.childCount = new int[features];
    this.exclusive = new boolean[features];
  }

  /**
   * Builds the trees level by level until the depth or the number of features is reached.
   *
   * @param rng draws the parents whose children are mutually exclusive
   */
  public static FeatureForest grow(Hierarchy hierarchy, int features, Rng rng) {
    FeatureForest forest = new FeatureForest(hierarchy, features);
    Arrays.fill(forest.parents, NONE);
    int level = 0;
    int next = Math.min(hierarchy.roots(), features);
    for (int depth = 0; depth < hierarchy.depth(); depth++) {
      int end = next;
      for (int parent = level; parent < end; parent++) {
        forest.firstChild[parent] = next;
        forest.childCount[parent] = Math.min(hierarchy.branching(), features - next);
        for (int c = 0; c < forest.childCount[parent]; c++) {
          forest.parents[next++] = parent;
        }
      }
      level = end;
    }
    forest.exclude(rng);
    return forest;
  }

  private void exclude(Rng rng) {
    List<Integer> eligible = new ArrayList<>();
    for (int f = 0; f < parents.length; f++) {
      if (childCount[f] >= 2) {
        eligible.add(f);
      }
    }
    int chosen = (int) (eligible.size() * hierarchy.exclusiveShare());
    for (int i = 0; i < chosen; i++) {
      int at = i + rng.nextInt(eligible.size() - i);
      exclusive[eligible.get(at)] = true;
      eligible.set(at, eligible.get(i));
    }
  }

  /** Firing probabilities with which features fire about as often as in {@code wanted}. */
  public double[] compensated(double[] wanted) {
    double[] raised = wanted.clone();
    for (int f = 0; f < wanted.length; f++) {
      int parent = parents[f];
      if (parent != NONE && wanted[parent] > 0) {
        raised[f] /= wanted[parent];
        if (exclusive[parent]) {
          int first = firstChild[parent];
          double all = Arrays.stream(wanted, first, first + childCount[parent]).sum();
          raised[f] *= 1 + Math.max(0, all - wanted[f]) / wanted[parent];
        }
      }
      raised[f] = Math.min(1, raised[f]);
    }
    return raised;
  }

  /**
   * Sets to 0 the features whose parents do not fire, and all but one of several rivals.
   *
   * @param coefficients of a row. Modified.
   * @param means mean coefficient of each feature when it fires, for scaling by the parent
   * @param rng draws which of several rivals fires
   */
  public void apply(float[] coefficients, double[] means, Rng rng) {
    for (int f = 0; f < parents.length; f++) { // parents come before their children
      int parent = parents[f];
      if (parent != NONE && coefficients[f] > 0) {
        if (!(coefficients[parent] > 0)) {
          coefficients[f] = 0;
        } else if (hierarchy.scaleByParent()) {
          coefficients[f] = (float) (coefficients[f] * (coefficients[parent] / means[parent]));
        }
      }
      if (exclusive[f] && coefficients[f] > 0) {
        keepOne(coefficients, firstChild[f], firstChild[f] + childCount[f], rng);
      }
    }
  }

  private static void keepOne(float[] coefficients, int from, int to, Rng rng) {
    int active = 0;
    for (int f = from; f < to; f++) {
      active += coefficients[f] > 0 ? 1 : 0;
    }
    if (active < 2) {
      return;
    }
    int kept = rng.nextInt(active);
    for (int f = from; f < to; f++) {
      if (coefficients[f] > 0 && kept-- != 0) {
        coefficients[f] = 0;
      }
    }
  }

  /** The parent of a feature, or -1. */
  public int parent(int feature) {
    return parents[feature];
  }

  /** Whether the children of a feature are mutually exclusive. */
  public boolean isExclusive(int feature) {
    return exclusive[feature];
  }
}
