package io.faithfulsae.metrics.internal;

import io.faithfulsae.Activation;
import io.faithfulsae.Sae;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.CrossEntropy;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.FeatureSubsets;
import io.faithfulsae.metrics.FeatureSubsets.Subset;
import io.faithfulsae.metrics.KCurve;
import io.faithfulsae.metrics.ModelActivations;
import io.faithfulsae.metrics.Reconstruction;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** Measures views of SAEs, with another k or fewer latents, together. */
public final class Curves {
  private record Measured(List<Reconstruction> reconstructions, List<CrossEntropy> costs) {}

  private Curves() {}

  /** Evaluates each SAE with each k. */
  public static List<KCurve> byK(
      List<Sae> saes, ModelActivations activations, KCurve.Options options) throws IOException {
    List<Sae> views = new ArrayList<>();
    for (Sae sae : saes) {
      requireK(sae);
      options.ks().forEach(k -> views.add(sae.withK(k)));
    }
    Measured measured =
        measure(views, activations, options.batchSequences(), options.rows(), options.ceTokens());
    List<FakeFeatures> fakes =
        options.fakeFeatures().isEmpty()
            ? List.of()
            : NoiseResponse.measure(views, activations.on(), options.fakeFeatures().get());
    List<KCurve> curves = new ArrayList<>();
    int at = 0;
    for (Sae sae : saes) {
      List<KCurve.Point> points = new ArrayList<>();
      for (int k : options.ks()) {
        points.add(
            new KCurve.Point(
                k,
                measured.reconstructions().get(at),
                measured.costs().get(at),
                fakes.isEmpty() ? null : fakes.get(at)));
        at++;
      }
      curves.add(new KCurve(sae.config().k(), points));
    }
    return curves;
  }

  private static void requireK(Sae sae) {
    Activation activation = sae.config().activation();
    if (activation.latentsPerRow().isEmpty()) {
      throw new IllegalArgumentException(
          Expected.message(
              "an SAE with a k, such as TopK, to evaluate with another k",
              activation.label(),
              "evaluate it as it is"));
    }
  }

  /** Evaluates an SAE with only the first, and only the last, latents of each ranking. */
  public static List<FeatureSubsets> bySubset(
      Sae sae,
      List<List<Integer>> rankings,
      ModelActivations activations,
      FeatureSubsets.Options options)
      throws IOException {
    List<Sae> views = new ArrayList<>(List.of(sae));
    List<Integer> kept = new ArrayList<>(List.of(sae.config().dSae()));
    for (List<Integer> ranking : rankings) {
      for (boolean best : new boolean[] {true, false}) {
        for (int size : options.sizes()) {
          int n = Math.min(size, ranking.size());
          int from = best ? 0 : ranking.size() - n;
          views.add(sae.only(ranking.subList(from, from + n)));
          kept.add(n);
        }
      }
    }
    Measured measured =
        measure(views, activations, options.batchSequences(), options.rows(), options.ceTokens());
    List<Subset> subsets = new ArrayList<>();
    for (int i = 0; i < views.size(); i++) {
      subsets.add(
          new Subset(kept.get(i), measured.reconstructions().get(i), measured.costs().get(i)));
    }
    int sizes = options.sizes().size();
    List<FeatureSubsets> results = new ArrayList<>();
    for (int r = 0; r < rankings.size(); r++) {
      int first = 1 + 2 * r * sizes;
      results.add(
          new FeatureSubsets(
              rankings.get(r).size(),
              subsets.get(0),
              subsets.subList(first, first + sizes),
              subsets.subList(first + sizes, first + 2 * sizes)));
    }
    return results;
  }

  private static Measured measure(
      List<Sae> views, ModelActivations activations, int batchSequences, long rows, long ceTokens)
      throws IOException {
    return new Measured(
        Reconstructions.measure(views, activations.source(batchSequences), rows),
        ModelCost.measure(views, activations, ceTokens));
  }
}
