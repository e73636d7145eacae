package io.faithfulsae.study.compare;

import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Holm's step-down correction of p-values (Holm, "A Simple Sequentially Rejective Multiple Test
 * Procedure", 1979).
 */
public final class Holm {
  private Holm() {}

  /** The smallest levels at which each hypothesis is rejected when all are tested together. */
  public static double[] adjust(double[] p) {
    List<Integer> ascending =
        IntStream.range(0, p.length).boxed().sorted(Comparator.comparingDouble(i -> p[i])).toList();
    double[] adjusted = new double[p.length];
    double largest = 0;
    for (int rank = 0; rank < p.length; rank++) {
      int i = ascending.get(rank);
      largest = Math.max(largest, Math.min(1, (p.length - rank) * p[i]));
      adjusted[i] = largest;
    }
    return adjusted;
  }
}
