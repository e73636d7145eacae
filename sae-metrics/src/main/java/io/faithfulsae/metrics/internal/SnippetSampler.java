package io.faithfulsae.metrics.internal;

import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.metrics.LatentDescription.Snippets;
import io.faithfulsae.metrics.LatentDescription.Snippets.Options;
import io.faithfulsae.metrics.LatentDescription.Snippets.Snippet;
import io.faithfulsae.metrics.ModelActivations;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/** Draws snippets in one pass over text, for several latents at once. */
public final class SnippetSampler {
  // Streams of a latent.
  private static final long FIRING = 0;
  private static final long SILENT = 1;

  private final List<Integer> chosen;
  private final Options options;
  private final List<Reservoir> firing = new ArrayList<>();
  private final List<Reservoir> silent = new ArrayList<>();
  private long sequences;

  /** Keeps a random choice of what is offered, each with the same chance (algorithm R). */
  private static final class Reservoir {
    private final List<Snippet> kept = new ArrayList<>();
    private final Rng random;
    private final int most;
    private int offered;

    Reservoir(int most, Rng random) {
      this.most = most;
      this.random = random;
    }

    void offer(long sequence, int start, int[] tokens, int length, double max) {
      int place = offered < most ? offered : random.nextInt(offered + 1);
      offered++;
      if (place < most) {
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
    this.chosen = chosen;
    this.options = options;
    for (int latent : chosen) {
      firing.add(new Reservoir(options.perKind(), random(latent, FIRING)));
      silent.add(new Reservoir(options.perKind(), random(latent, SILENT)));
    }
  }

  private Rng random(int latent, long kind) {
    return new Rng(Purpose.SNIPPETS, options.seed(), latent, kind);
  }

  /** Draws for each latent, in the order given. */
  public static List<Snippets> draw(
      Sae sae, List<Integer> chosen, ModelActivations activations, Options options)
      throws IOException {
    LatentDirections.requireLatents(sae, chosen);
    SnippetSampler sampler = new SnippetSampler(chosen, options);
    EncodedText.read(sae, activations, options.maxSequences(), sampler::add);
    return IntStream.range(0, chosen.size())
        .mapToObj(
            c ->
                new Snippets(
                    chosen.get(c),
                    sampler.firing.get(c).inOrder(),
                    sampler.silent.get(c).inOrder()))
        .toList();
  }

  private void add(int[][] tokens, HookRows rows, Latents latents) {
    int length = tokens[0].length;
    int windows = length / options.length();
    float[][] largest = new float[chosen.size()][windows];
    IntBuffer indices = latents.indices();
    FloatBuffer values = latents.values();
    int at = 0;
    for (int s = 0; s < tokens.length; s++) {
      Arrays.stream(largest).forEach(row -> Arrays.fill(row, 0));
      for (; at < rows.keptRows() && rows.position(at) / length == s; at++) {
        int window = rows.position(at) % length / options.length();
        for (int i = at * latents.k(); i < (at + 1) * latents.k() && window < windows; i++) {
          int c = chosen.indexOf(indices.get(i));
          if (c >= 0) {
            largest[c][window] = Math.max(largest[c][window], values.get(i));
          }
        }
      }
      for (int c = 0; c < chosen.size(); c++) {
        for (int w = 0; w < windows; w++) {
          float max = largest[c][w];
          (max > 0 ? firing : silent)
              .get(c)
              .offer(sequences, w * options.length(), tokens[s], options.length(), max);
        }
      }
      sequences++;
    }
  }
}
