package io.faithfulsae.metrics.internal;

import io.faithfulsae.Sae;
import io.faithfulsae.metrics.LatentDescription.Snippets;
import io.faithfulsae.metrics.LatentDescription.Snippets.Options;
import io.faithfulsae.metrics.LatentDescription.Snippets.Snippet;
import io.faithfulsae.metrics.ModelActivations;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/** Draws snippets for several latents in one pass over text. */
public final class SnippetSampler implements EncodedText.Visitor {
  // Random streams of each latent.
  private static final long FIRING = 0;
  private static final long SILENT = 1;

  private final Options options;
  private final List<Reservoir> firing = new ArrayList<>();
  private final List<Reservoir> silent = new ArrayList<>();

  /** A uniform random sample of the snippets offered (reservoir sampling, algorithm R). */
  private static final class Reservoir {
    private final List<Snippet> kept = new ArrayList<>();
    private final Rng random;
    private final int capacity;
    private int offered;

    Reservoir(int capacity, Rng random) {
      this.capacity = capacity;
      this.random = random;
    }

    void offer(long sequence, int start, int[] tokens, int length, double max) {
      int place = offered < capacity ? offered : random.nextInt(offered + 1);
      offered++;
      if (place < capacity) {
        Snippet snippet =
            new Snippet(
                sequence,
                start,
                Arrays.stream(tokens, start, start + length).boxed().toList(),
                max);
        if (place < kept.size()) {
          kept.set(place, snippet);
        } else {
          kept.add(snippet);
        }
      }
    }

    List<Snippet> inOrder() {
      return kept.stream()
          .sorted(Comparator.comparingLong(Snippet::sequence).thenComparingInt(Snippet::start))
          .toList();
    }
  }

  private SnippetSampler(List<Integer> chosen, Options options) {
    this.options = options;
    for (int latent : chosen) {
      firing.add(new Reservoir(options.perKind(), random(latent, FIRING)));
      silent.add(new Reservoir(options.perKind(), random(latent, SILENT)));
    }
  }

  private Rng random(int latent, long kind) {
    return new Rng(Purpose.SNIPPETS, options.seed(), latent, kind);
  }

  /** Draws snippets for each latent, in the order given. */
  public static List<Snippets> draw(
      Sae sae, List<Integer> chosen, ModelActivations activations, Options options)
      throws IOException {
    SnippetSampler sampler = new SnippetSampler(chosen, options);
    EncodedText.read(sae, chosen, activations, options.maxSequences(), sampler);
    return IntStream.range(0, chosen.size())
        .mapToObj(
            c ->
                new Snippets(
                    chosen.get(c),
                    sampler.firing.get(c).inOrder(),
                    sampler.silent.get(c).inOrder()))
        .toList();
  }

  @Override
  public void sequence(long number, int[] tokens, float[][] chosenZ) {
    for (int c = 0; c < chosenZ.length; c++) {
      int end;
      for (int start = 0; (end = start + options.length()) <= tokens.length; start = end) {
        float max = 0;
        for (int t = start; t < end; t++) {
          max = Math.max(max, Math.abs(chosenZ[c][t]));
        }
        (max > 0 ? firing : silent).get(c).offer(number, start, tokens, options.length(), max);
      }
    }
  }
}
