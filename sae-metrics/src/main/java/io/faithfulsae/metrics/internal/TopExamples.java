package io.faithfulsae.metrics.internal;

import io.faithfulsae.metrics.LatentDescription.Example;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.PriorityQueue;
import java.util.stream.IntStream;

/** Keeps the sequences in which a latent fires capacity strongly. */
final class TopExamples {
  private static final Comparator<Kept> BEST_FIRST =
      Comparator.comparingDouble((Kept kept) -> -kept.max()).thenComparingLong(Kept::sequence);

  private final int capacity;
  private final PriorityQueue<Kept> worstFirst = new PriorityQueue<>(BEST_FIRST.reversed());

  @SuppressWarnings("ArrayRecordComponent") // ordered by its numbers, never compared
  private record Kept(long sequence, double max, int position, int[] tokens, float[] activations) {}

  TopExamples(int capacity) {
    this.capacity = capacity;
  }

  /** Keeps a sequence if it is among the best so far; its arrays are then copied. */
  void offer(long sequence, int[] tokens, float[] activations) {
    int position = 0;
    for (int t = 1; t < activations.length; t++) {
      position = Math.abs(activations[t]) > Math.abs(activations[position]) ? t : position;
    }
    double max = Math.abs(activations[position]);
    boolean full = worstFirst.size() == capacity;
    if (max <= 0 || capacity == 0 || (full && worstFirst.element().max() >= max)) {
      return; // on ties, the first in the text stays
    }
    if (full) {
      worstFirst.remove();
    }
    worstFirst.add(new Kept(sequence, max, position, tokens.clone(), activations.clone()));
  }

  /** The sequences kept, best first. */
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
