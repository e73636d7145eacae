package io.faithfulsae.metrics.internal;

import io.faithfulsae.metrics.LatentDescription.Example;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.PriorityQueue;
import java.util.stream.IntStream;

/** Keeps the sequences in which a latent fires most strongly. */
final class TopExamples {
  private static final Comparator<Kept> BEST_FIRST =
      Comparator.comparingDouble((Kept kept) -> -kept.max()).thenComparingLong(Kept::sequence);

  private final int most;
  private final PriorityQueue<Kept> worstFirst = new PriorityQueue<>(BEST_FIRST.reversed());

  @SuppressWarnings("ArrayRecordComponent") // ordered by its numbers, never compared
  private record Kept(long sequence, double max, int position, int[] tokens, float[] activations) {}

  TopExamples(int most) {
    this.most = most;
  }

  /** Offers a sequence; the arrays are copied if it is kept. */
  void offer(long sequence, int[] tokens, float[] activations) {
    int position = 0;
    for (int t = 1; t < activations.length; t++) {
      position = activations[t] > activations[position] ? t : position;
    }
    double max = activations[position];
    boolean full = worstFirst.size() == most;
    if (max <= 0 || most == 0 || (full && worstFirst.element().max() >= max)) {
      return; // of equals, the first in the text is kept
    }
    if (full) {
      worstFirst.remove();
    }
    worstFirst.add(new Kept(sequence, max, position, tokens.clone(), activations.clone()));
  }

  /** Best first. */
  List<Example> list() {
    List<Kept> kept = new ArrayList<>(worstFirst);
    kept.sort(BEST_FIRST);
    return kept.stream()
        .map(
            each ->
                new Example(
                    each.sequence(),
                    each.position(),
                    Arrays.stream(each.tokens()).boxed().toList(),
                    IntStream.range(0, each.activations().length)
                        .mapToObj(t -> (double) each.activations()[t])
                        .toList()))
        .toList();
  }
}
